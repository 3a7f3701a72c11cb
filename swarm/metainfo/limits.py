"""How much a .torrent may ask for, and why; apart, so that making one need not load the reader."""

#: Largest .torrent file: a million small files, or three million pieces.
MAX_METAINFO_BYTES = 64 * 1024 * 1024
#: Most pieces (libtorrent's limit too): 40 MB of hashes, and bitfields of 256 KiB for each peer.
MAX_PIECES = 2_097_152
#: Longest piece: one is held in memory until its hash is known. The wild knows up to 256 MiB.
MAX_PIECE_BYTES = 512 * 1024 * 1024
#: Most files; each costs about a kilobyte of memory and a descriptor when written.
MAX_FILES = 500_000
#: Most content: file offsets are signed 64-bit numbers to every system.
MAX_TOTAL_BYTES = 2**62
#: Most trackers and web seeds that are read; the rest is ignored, for nobody can ask them all.
MAX_TRACKERS = 500
MAX_WEB_SEEDS = 500
