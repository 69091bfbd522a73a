"""DeepFace's `POST /analyze`, for the emotion.

routes.py   the route
schemas.py  its requests and its answers
"""
