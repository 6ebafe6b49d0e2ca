//! The body of the fuzz target for frames, bounded: valid frames, and mutations of them.

#[path = "../../../fuzz/bodies/frames.rs"]
mod frames;
#[path = "../../../fuzz/bodies/mutate.rs"]
mod mutate;

const FRAMES: [&str; 12] = [
    r#"{"type":"send","id":"1","client_id":"c","conversation_id":"g:1","content":"hi 👩‍👩‍👧‍👦","seen":4,"data":{"a":[1,{"b":null}]}}"#,
    r#"{"type":"send","recipient_id":"u","content":"\u0000\ud83d\ude00","mentions":["all"],"file_ids":["f"],"kind":"text"}"#,
    r#"{"type":"edit","id":"2","message_id":"0190","content":"x"}"#,
    r#"{"type":"delete","client_id":"d","message_id":"0190"}"#,
    r#"{"type":"react","id":"3","message_id":"0190","emoji":"👍","remove":true}"#,
    r#"{"type":"read","conversation_id":"g:1","seq":18446744073709551615}"#,
    r#"{"type":"ack","cursor":"AbC-_"}"#,
    r#"{"type":"token","id":"4","token":"a.b.c"}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"hello","user_id":"u","session_id":"s","heartbeat_ms":30000}"#,
    r#"{"type":"NEW_MESSAGE","conversation_id":"g:1","seq":3,"timestamp":1,"actor_id":"u","message_id":"m","sender_id":"u","recipient_id":null,"kind":"text","content":null,"cursor":"c"}"#,
    r#"{"type":"RECEIPT","conversation_id":"g:1","user_id":"u","delivered_seq":1,"read_seq":1,"timestamp":1}"#,
];

#[test]
fn spoiled_frames_are_read_or_refused() {
    let seeds = FRAMES.map(|frame| frame.as_bytes().to_vec());
    let taken = FRAMES.iter().filter(|frame| chat4all_server::ws::is_frame(frame)).count();
    assert_eq!(taken, 9, "those of clients");
    mutate::run(&seeds, 50_000, frames::body);
}
