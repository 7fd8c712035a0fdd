//! MIME messages as a stream of bytes: structure, header fields, decoded words.
