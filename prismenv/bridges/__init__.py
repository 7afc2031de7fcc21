"""Other libraries' interfaces over an episode: thin, each behind the extra that brings its library."""
