use ratatui::text::Span;

/// The most a message may hold, in code points.
const LONGEST: usize = 16_384;

/// The line being written. The cursor stands between what a reader sees as characters.
#[derive(Debug, Default)]
pub(super) struct Compose {
    text: String,
    /// A byte offset, always at the edge of a grapheme.
    cursor: usize,
}

impl Compose {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Columns before the cursor, and the text.
    pub(super) fn column(&self) -> usize {
        Span::raw(&self.text[..self.cursor]).width()
    }

    pub(super) fn insert(&mut self, text: &str) {
        let room = LONGEST.saturating_sub(self.text.chars().count());
        let plain = |c: char| if c == '\n' || c == '\t' { ' ' } else { c };
        let added: String = text.chars().map(plain).filter(|c| !c.is_control()).take(room).collect();
        self.text.insert_str(self.cursor, &added);
        self.cursor += added.len();
        // What was typed may have joined with what follows (a joiner, a combining mark).
        while !self.edges().contains(&self.cursor) {
            self.cursor += 1;
        }
    }

    pub(super) fn set(&mut self, text: &str) {
        *self = Self::default();
        self.insert(text);
    }

    /// Gives the text and is empty.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.after();
    }

    pub(super) fn home(&mut self) {
        self.cursor = 0;
    }

    pub(super) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    pub(super) fn backspace(&mut self) {
        let start = self.before();
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    pub(super) fn delete(&mut self) {
        let end = self.after();
        self.text.replace_range(self.cursor..end, "");
    }

    /// Takes away the word before the cursor.
    pub(super) fn delete_word(&mut self) {
        let kept = self.text[..self.cursor].trim_end();
        let start = kept.rfind(' ').map_or(0, |space| space + 1);
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    /// Every place where the cursor may stand.
    fn edges(&self) -> Vec<usize> {
        let span = Span::raw(&self.text);
        let mut edges = vec![0];
        let mut at = 0;
        for grapheme in span.styled_graphemes(ratatui::style::Style::default()) {
            at += grapheme.symbol.len();
            edges.push(at);
        }
        edges
    }

    fn before(&self) -> usize {
        self.edges().into_iter().rev().find(|edge| *edge < self.cursor).unwrap_or(0)
    }

    fn after(&self) -> usize {
        self.edges().into_iter().find(|edge| *edge > self.cursor).unwrap_or(self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_by_what_a_reader_sees() {
        let mut line = Compose::default();
        line.insert("a👩‍👩‍👧e\u{301}漢");
        assert_eq!(line.column(), 1 + 2 + 1 + 2);
        line.backspace();
        line.backspace();
        assert_eq!(line.text(), "a👩‍👩‍👧");
        line.left();
        line.insert("x");
        assert_eq!(line.text(), "ax👩‍👩‍👧");
        line.delete();
        assert_eq!(line.take(), "ax");
        assert_eq!((line.text(), line.column()), ("", 0));
    }

    #[test]
    fn takes_no_control_characters_and_joins_marks() {
        let mut line = Compose::default();
        line.insert("one\ntwo\x1b[2J three");
        assert_eq!(line.text(), "one two[2J three");
        line.delete_word();
        assert_eq!(line.text(), "one two[2J ");
        line.set("e");
        line.insert("\u{301}");
        line.left();
        assert_eq!(line.column(), 0);
        line.insert("b");
        line.end();
        line.home();
        line.right();
        line.right();
        line.backspace();
        assert_eq!(line.text(), "b");
    }
}
