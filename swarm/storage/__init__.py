"""Files, threads and buffers: whatever touches the disk does it here, off the event loop."""
