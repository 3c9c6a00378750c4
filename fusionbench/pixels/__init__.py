"""Pictures and their colours: reading and writing files, luma and chroma, and what a method's output becomes."""
