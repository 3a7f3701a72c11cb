"""What all other rooms build on: ids, addresses, pieces and blocks, bencode, errors."""
