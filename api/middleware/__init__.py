"""Limits and rules that hold for every request.

connections.py    limits of a request's head; ends streams when the server stops
body_limit.py     the largest body
deadline.py       the longest time for a request
head_requests.py  HEAD wherever GET is served
"""
