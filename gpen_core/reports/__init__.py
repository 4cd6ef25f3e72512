"""Tell people what was done to each face: figures, words, pictures, as HTML and JSON."""
