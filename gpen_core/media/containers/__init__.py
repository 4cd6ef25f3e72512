"""Image files, taken apart: one module per format, with a function `parse` each."""
