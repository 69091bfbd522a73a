"""What applies to every request.

connections.py       size and time limits of a request's head; ends streams at a shutdown
allowed_hosts.py     the names of the server (421)
body_limit.py        the largest body (413), and the bytes of all bodies together (429)
deadline.py          the longest time for a request (408, 504), and the client that has gone
head_requests.py     HEAD wherever GET is served
security_headers.py  headers with rules for browsers
request_log.py       the request id, and one log line per request
request_metrics.py   counts and times every request
"""
