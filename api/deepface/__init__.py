"""DeepFace's `POST /analyze`, for the emotion only.

routes.py   the route
schemas.py  its requests and responses
"""
