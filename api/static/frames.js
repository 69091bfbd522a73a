// Frames of a video as canvases and as JPEG files.

// Draws the current frame into a new canvas whose long side has at most `longest` pixels.
export function grab(video, longest) {
  const scale = Math.min(1, longest / Math.max(video.videoWidth, video.videoHeight));
  const frame = document.createElement("canvas");
  frame.width = Math.max(1, Math.round(video.videoWidth * scale));
  frame.height = Math.max(1, Math.round(video.videoHeight * scale));
  frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
  return frame;
}

export function jpeg(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}
