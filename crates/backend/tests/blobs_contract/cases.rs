//! What every store of files can do.

use chat4all_backend::ErrorKind;
use chat4all_backend::blobs::{Blobs, failed};
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

crate::table![
    it_answers,
    what_is_put_is_got_whole_and_in_ranges,
    an_empty_file_is_a_file,
    a_put_replaces,
    what_is_not_there_is_not_found,
    put_if_absent_puts_once,
    lists_tell_what_is_there,
    a_copy_is_a_file_of_its_own,
    a_large_file_is_put_in_parts,
    an_upload_given_up_leaves_nothing,
];

async fn put(blobs: &Blobs, key: &str, content: &str) {
    blobs.store.put(&Path::from(key), content.to_owned().into()).await.unwrap();
}

async fn get(blobs: &Blobs, key: &str) -> object_store::Result<String> {
    let bytes = blobs.store.get(&Path::from(key)).await?.bytes().await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

async fn keys(blobs: &Blobs, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    let found: Vec<_> = blobs.store.list(prefix.as_ref()).try_collect().await.unwrap();
    let mut keys: Vec<String> = found.into_iter().map(|file| file.location.to_string()).collect();
    keys.sort();
    keys
}

async fn it_answers(blobs: Blobs) {
    blobs.check().await.unwrap();
}

async fn what_is_put_is_got_whole_and_in_ranges(blobs: Blobs) {
    let key = Path::from("a/ü & ?.txt");
    blobs.store.put(&key, "0123456789".into()).await.unwrap();
    let head = blobs.store.head(&key).await.unwrap();
    assert_eq!((head.size, &head.location), (10, &key));
    let whole = blobs.store.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!(whole, "0123456789");
    assert_eq!(blobs.store.get_range(&key, 2..5).await.unwrap(), "234");
    assert_eq!(blobs.store.get_ranges(&key, &[0..1, 8..10]).await.unwrap(), ["0", "89"]);
}

async fn an_empty_file_is_a_file(blobs: Blobs) {
    put(&blobs, "empty", "").await;
    assert_eq!(get(&blobs, "empty").await.unwrap(), "");
    assert_eq!(blobs.store.head(&Path::from("empty")).await.unwrap().size, 0);
}

async fn a_put_replaces(blobs: Blobs) {
    put(&blobs, "k", "first").await;
    put(&blobs, "k", "second").await;
    assert_eq!(get(&blobs, "k").await.unwrap(), "second");
    assert_eq!(keys(&blobs, None).await, ["k"]);
}

async fn what_is_not_there_is_not_found(blobs: Blobs) {
    put(&blobs, "k", "x").await;
    blobs.store.delete(&Path::from("k")).await.unwrap();
    for key in ["k", "never"] {
        let missing = Path::from(key);
        assert!(matches!(get(&blobs, key).await, Err(Error::NotFound { .. })), "get {key}");
        assert!(matches!(blobs.store.head(&missing).await, Err(Error::NotFound { .. })), "head {key}");
        let copied = blobs.store.copy(&missing, &Path::from("copy")).await;
        assert!(matches!(copied, Err(Error::NotFound { .. })), "copy {key}: {copied:?}");
    }
    assert!(keys(&blobs, None).await.is_empty());
}

async fn put_if_absent_puts_once(blobs: Blobs) {
    let key = Path::from("once");
    let create = async |content: &'static str| {
        blobs.store.put_opts(&key, PutPayload::from(content), PutMode::Create.into()).await
    };
    create("first").await.unwrap();
    let second = create("second").await.unwrap_err();
    assert!(matches!(second, Error::AlreadyExists { .. }), "{second:?}");
    assert_eq!(failed(second).kind, ErrorKind::Conflict);
    assert_eq!(get(&blobs, "once").await.unwrap(), "first");
}

async fn lists_tell_what_is_there(blobs: Blobs) {
    for key in ["a/1", "a/2", "a/b/3", "ab", "c"] {
        put(&blobs, key, "x").await;
    }
    assert_eq!(keys(&blobs, None).await, ["a/1", "a/2", "a/b/3", "ab", "c"]);
    assert_eq!(keys(&blobs, Some("a")).await, ["a/1", "a/2", "a/b/3"]);
    assert!(keys(&blobs, Some("d")).await.is_empty());
    let level = blobs.store.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
    assert_eq!(level.common_prefixes, [Path::from("a/b")]);
    assert_eq!(level.objects.len(), 2);
}

async fn a_copy_is_a_file_of_its_own(blobs: Blobs) {
    put(&blobs, "from", "x").await;
    blobs.store.copy(&Path::from("from"), &Path::from("to/copy")).await.unwrap();
    put(&blobs, "from", "y").await;
    assert_eq!(get(&blobs, "to/copy").await.unwrap(), "x");
    blobs.store.delete(&Path::from("from")).await.unwrap();
    assert_eq!(get(&blobs, "to/copy").await.unwrap(), "x");
}

/// The least that S3 takes as a part that is not the last.
const PART: usize = 5 << 20;

fn part(letter: u8, bytes: usize) -> PutPayload {
    vec![letter; bytes].into()
}

async fn a_large_file_is_put_in_parts(blobs: Blobs) {
    let key = Path::from("large");
    let mut upload: Box<dyn MultipartUpload> = blobs.store.put_multipart(&key).await.unwrap();
    let parts = [
        upload.put_part(part(b'a', PART)),
        upload.put_part(part(b'b', PART)),
        upload.put_part(part(b'c', 7)),
    ];
    futures_util::future::try_join_all(parts).await.unwrap();
    assert!(matches!(blobs.store.head(&key).await, Err(Error::NotFound { .. })), "it is there half-written");
    upload.complete().await.unwrap();
    assert_eq!(blobs.store.head(&key).await.unwrap().size, 2 * PART as u64 + 7);
    let (middle, end) = (PART as u64, 2 * PART as u64);
    let seams = blobs.store.get_ranges(&key, &[middle - 2..middle + 2, end - 2..end + 7]).await.unwrap();
    assert_eq!(seams, ["aabb", "bbccccccc"]);
}

async fn an_upload_given_up_leaves_nothing(blobs: Blobs) {
    let mut upload = blobs.store.put_multipart(&Path::from("given-up")).await.unwrap();
    upload.put_part(part(b'a', PART)).await.unwrap();
    upload.abort().await.unwrap();
    assert!(keys(&blobs, None).await.is_empty());
}
