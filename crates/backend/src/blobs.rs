//! Blobs: files by key, in a local folder or on S3.
