"""The sampler state: which frames have been explored, with their boxes and confidences."""
