"""The same recognizer behind LitServe.

python -m benchmarks.other_servers.litserve_app PORT WORKERS
"""

import sys

import litserve

from benchmarks.other_servers.recognition import Recognition


class API(litserve.LitAPI):
    def setup(self, device):
        self.recognize = Recognition()

    def decode_request(self, request):
        return request

    def predict(self, body):
        return self.recognize(body["image"], body.get("faces"))

    def encode_response(self, faces):
        return {"faces": faces}


if __name__ == "__main__":
    port, workers = map(int, sys.argv[1:])
    server = litserve.LitServer(API(), accelerator="cpu", devices=1, workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
