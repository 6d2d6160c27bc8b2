"""From waiting chunks to finished vendor tasks."""
