//! Files in a local folder.

use crate::Case;
use chat4all_backend::ErrorKind;
use chat4all_backend::blobs::{Blobs, open};
use object_store::ObjectStoreExt;
use object_store::path::Path;

pub async fn run((_, case): Case) {
    let data = tempfile::tempdir().unwrap();
    let blobs = open("embedded", data.path()).await.unwrap();
    assert!(blobs.signer.is_none(), "no client reaches a folder of the server's");
    case(blobs).await;
}

crate::table![a_folder_is_named_by_its_path, a_folder_that_vanishes_is_said, other_schemes_are_refused];

async fn a_folder_is_named_by_its_path(_: Blobs) {
    let data = tempfile::tempdir().unwrap();
    let place = data.path().join("with space/files");
    let url = format!("file://{}", place.display().to_string().replace(' ', "%20"));
    for _ in 0..2 {
        open(&url, data.path()).await.unwrap().store.put(&Path::from("k"), "x".into()).await.unwrap();
    }
    assert_eq!(std::fs::read_to_string(place.join("k")).unwrap(), "x");
    assert!(!data.path().join("blobs").exists());
}

async fn a_folder_that_vanishes_is_said(_: Blobs) {
    let data = tempfile::tempdir().unwrap();
    let blobs = open("embedded", data.path()).await.unwrap();
    std::fs::remove_dir_all(data.path().join("blobs")).unwrap();
    let error = blobs.check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.to_string().contains("blobs"), "{error}");
    std::fs::write(data.path().join("blobs"), "").unwrap();
    let error = open("embedded", data.path()).await.unwrap_err();
    assert!(error.to_string().contains("blobs"), "{error}");
}

async fn other_schemes_are_refused(_: Blobs) {
    let data = tempfile::tempdir().unwrap();
    for (url, words) in [
        ("gs://bucket", "S3 or in a folder only"),
        ("az://container", "S3 or in a folder only"),
        ("ftp://host", "`ftp` is no scheme"),
        ("blobs", "`blobs` is no scheme"),
        ("file://blobs", "three slashes"),
    ] {
        let error = open(url, data.path()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{url}");
        assert!(error.to_string().contains(words), "{url}: {error}");
    }
}
