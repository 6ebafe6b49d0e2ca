//! Records of the log: any bytes are read or refused, and what is read is written to bytes that read the same.

use chat4all_model::record::{decode_command, decode_event, encode_command, encode_event};

/// Reads any bytes as records.
pub(crate) fn body(data: &[u8]) {
    if let Ok(command) = decode_command(data) {
        assert_eq!(decode_command(&encode_command(&command)), Ok(command));
    }
    if let Ok(record) = decode_event(data) {
        assert_eq!(decode_event(&encode_event(&record)), Ok(record));
    }
}
