"""The process fusionbench runs in: its folders, device and memory. Knows nothing of images or methods."""
