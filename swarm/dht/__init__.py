"""The distributed hash table (BEP 5): a mind that takes datagrams and `now`, and says what to send."""
