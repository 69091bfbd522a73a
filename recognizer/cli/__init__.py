"""The command line: `python -m recognizer`, installed as `recognize-emotions`.

main.py          the command; arguments.py has its options, version.py its version
inputs.py        photos and videos that paths, folders and patterns name
run.py           the run: results in the order of the inputs
job.py           what one process does with a photo or a frame
executors.py     this process, local processes, or a Dask cluster
console.py       table, JSON lines and progress on the terminal
progress_bar.py  tqdm, if it is installed
csv_table.py     results as a CSV file that can be resumed
crops.py         faces in a folder for each emotion; crop_table.py is the table of that folder
growing_csv.py   what a killed run has left of either table
output_lock.py   the lock of a CSV file, so that no second run writes into it
output_paths.py  the path of the output for each input
annotate.py      annotated copies of photos and videos
drawing.py       boxes, labels and bars; lettering.py writes the text with the fonts in fonts/
timeline.py      the plot of the emotions in a video over time
"""
