"""The Open Inference Protocol v2 of KServe and Triton.

routes.py     the routes
schemas.py    its requests and responses
tensors.py    tensors in JSON and in binary data: parses requests, writes responses
json_values.py  the values of a tensor in JSON, parsed in parts
inference.py  from a parsed request to the output tensors
"""
