"""NanoTrack v1 and v2 (HonglinChu/SiamTrackers): a tracker of 0.3 million parameters, real-time on one CPU core."""
