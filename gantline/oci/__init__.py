"""Images and artifacts as the Open Container Initiative defines them: what they consist of, and where they are kept."""
