"""Finding peers: trackers, the DHT and the local network, one search for each torrent."""
