"""What the routes and functions in ``app.py`` do: an event in, the pipeline called, an answer out."""
