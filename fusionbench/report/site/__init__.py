"""A leaderboard as a static page: files that a browser opens from a folder, without a server or a network."""
