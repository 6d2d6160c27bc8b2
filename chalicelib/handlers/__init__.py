"""The routes and functions of ``app.py``: they read an event, call the pipeline and make the answer."""
