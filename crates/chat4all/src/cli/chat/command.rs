/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Say(String),
    Reply(String),
    Edit(String),
    Delete,
    React(String),
    New(String),
    Group {
        name: String,
        members: Vec<String>,
    },
    Add(Vec<String>),
    Leave,
    Help,
    Quit,
    Nothing,
    /// No such command, or one that lacks something; what to say.
    Wrong(&'static str),
}

pub(super) const HELP: &[&str] = &[
    "/new @bob             talk to somebody",
    "/group Name @a @b     make a group",
    "/add @x               add to this group",
    "/leave                leave this group",
    "/reply TEXT           answer the selected message",
    "/edit TEXT            change it (or your last one)",
    "/delete               delete it (or your last one)",
    "/react 👍             react to it (or the newest); again takes it back",
    "/quit                 or Ctrl-C",
    "//text                a message that begins with a slash",
    "",
    "Tab, Shift-Tab        next, previous conversation",
    "Up, Down, Esc         select a message, none",
    "PgUp, PgDn            scroll",
];

/// Reads a line.
pub(super) fn parse(line: &str) -> Entry {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/').filter(|rest| !rest.starts_with('/')) else {
        let text = line.strip_prefix('/').unwrap_or(line);
        return if text.is_empty() { Entry::Nothing } else { Entry::Say(text.into()) };
    };
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    let people = || rest.split_whitespace().map(at).collect::<Vec<_>>();
    match (name, rest.is_empty()) {
        ("new", false) => Entry::New(at(rest)),
        ("new", true) => Entry::Wrong("/new @name"),
        ("group", _) => group(rest),
        ("add", false) => Entry::Add(people()),
        ("add", true) => Entry::Wrong("/add @name"),
        ("reply", false) => Entry::Reply(rest.into()),
        ("reply", true) => Entry::Wrong("/reply TEXT"),
        ("edit", false) => Entry::Edit(rest.into()),
        ("edit", true) => Entry::Wrong("/edit TEXT"),
        ("react", false) => Entry::React(rest.into()),
        ("react", true) => Entry::Wrong("/react 👍"),
        ("delete", _) => Entry::Delete,
        ("leave", _) => Entry::Leave,
        ("help", _) => Entry::Help,
        ("quit" | "q" | "exit", _) => Entry::Quit,
        _ => Entry::Wrong("no such command; /help lists them"),
    }
}

/// Within the app a bare name is a username too.
fn at(name: &str) -> String {
    if name.starts_with('@') || name.contains(':') { name.into() } else { format!("@{name}") }
}

fn group(rest: &str) -> Entry {
    let (members, words): (Vec<&str>, Vec<&str>) =
        rest.split_whitespace().partition(|word| word.starts_with('@'));
    if words.is_empty() {
        return Entry::Wrong("/group Name @bob @carol");
    }
    Entry::Group { name: words.join(" "), members: members.into_iter().map(Into::into).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        assert_eq!(parse("  "), Entry::Nothing);
        assert_eq!(parse("hi / there"), Entry::Say("hi / there".into()));
        assert_eq!(parse("//etc"), Entry::Say("/etc".into()));
        assert_eq!(parse("/new bob"), Entry::New("@bob".into()));
        assert_eq!(parse("/new whatsapp:+55"), Entry::New("whatsapp:+55".into()));
        let group = Entry::Group { name: "The Team".into(), members: vec!["@a".into(), "@b".into()] };
        assert_eq!(parse("/group The Team @a @b"), group);
        assert_eq!(parse("/react 👍"), Entry::React("👍".into()));
        assert!(matches!(parse("/dance"), Entry::Wrong(_)));
        assert!(matches!(parse("/edit"), Entry::Wrong(_)));
    }
}
