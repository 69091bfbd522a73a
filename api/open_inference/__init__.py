"""The Open Inference Protocol v2 of KServe and Triton.

routes.py   its addresses
schemas.py  its requests and its answers
tensors.py  the tensors in a request's body and in an answer's
"""
