use super::{
    command::HELP,
    compose::Compose,
    room::{Pending, Room, Tick},
    state::{Chat, Link},
};
use crate::cli::text::{Moment, clean, clean_line};
use chat4all_client::model::Message;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph},
};

const LIST_WIDTH: u16 = 28;
/// A name is written on the left of its messages, no wider than this.
const NAME_WIDTH: usize = 12;
const FAINT: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws everything. `now` is the time to tell today from other days.
pub(super) fn draw(frame: &mut Frame<'_>, chat: &mut Chat, compose: &Compose, now: u64) {
    let [main, line, status] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    let [list, messages] =
        Layout::horizontal([Constraint::Length(LIST_WIDTH), Constraint::Min(10)]).areas(main);
    draw_list(frame, list, chat);
    draw_messages(frame, messages, chat, now);
    draw_compose(frame, line, compose);
    frame.render_widget(Paragraph::new(status_line(chat)), status);
    if chat.help {
        draw_help(frame, messages);
    }
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, chat: &Chat) {
    let block = Block::new().borders(Borders::RIGHT).border_style(FAINT);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let open = chat.rooms.iter().position(|room| Some(&room.id) == chat.open.as_ref()).unwrap_or(0);
    let fit = usize::from(inner.height / 2).max(1);
    let skip = (open + 1).saturating_sub(fit);
    let mut lines = Vec::new();
    for room in chat.rooms.iter().skip(skip).take(fit) {
        let unread = if room.unread > 0 { format!(" {}", room.unread) } else { String::new() };
        let title = cut(&clean_line(&chat.title(room)), width.saturating_sub(unread.len() + 1));
        let mut style = if room.unread > 0 { BOLD } else { Style::new() };
        if Some(&room.id) == chat.open.as_ref() {
            style = style.add_modifier(Modifier::REVERSED);
        }
        lines
            .push(Line::from(vec![Span::styled(title, style), Span::styled(unread, BOLD.fg(Color::Yellow))]));
        lines.push(Line::styled(
            format!("  {}", cut(&clean_line(&room.last_text), width.saturating_sub(3))),
            FAINT,
        ));
    }
    if lines.is_empty() {
        lines.push(Line::styled("no conversations yet", FAINT));
        lines.push(Line::styled("/new @somebody", FAINT));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn draw_messages(frame: &mut Frame<'_>, area: Rect, chat: &mut Chat, now: u64) {
    let Some(room) = chat.room() else {
        let hint = Line::styled("/new @name to talk to somebody, /help for more", FAINT);
        return frame.render_widget(Paragraph::new(hint), area);
    };
    let (lines, selected) = transcript(chat, room, usize::from(area.width), now);
    let height = usize::from(area.height);
    let most = lines.len().saturating_sub(height);
    let mut scroll = chat.scroll.min(most);
    if let Some((first, last)) = selected {
        // The selection drags the window along.
        let bottom = lines.len() - scroll;
        if last > bottom {
            scroll = lines.len() - last;
        } else if first < bottom.saturating_sub(height) {
            scroll = lines.len().saturating_sub(first + height).min(most);
        }
    }
    let end = lines.len() - scroll;
    let shown: Vec<Line<'_>> = lines[end.saturating_sub(height)..end].to_vec();
    chat.scroll = scroll;
    frame.render_widget(Paragraph::new(shown), area);
}

/// All lines of a conversation, and which of them are the selected message's.
fn transcript(
    chat: &Chat,
    room: &Room,
    width: usize,
    now: u64,
) -> (Vec<Line<'static>>, Option<(usize, usize)>) {
    let mut lines = Vec::new();
    let mut selected = None;
    if !room.loaded {
        lines.push(Line::styled("loading …", FAINT));
    } else if room.has_before {
        lines.push(Line::styled("PgUp for what was before", FAINT));
    }
    let mut day = String::new();
    for message in room.messages.values() {
        let date = Moment::at(message.timestamp).date();
        if date != day {
            let label = if date == Moment::at(now).date() { "today".to_owned() } else { date.clone() };
            lines.push(Line::styled(format!("── {label} ──"), FAINT).centered());
            day = date;
        }
        let first = lines.len();
        lines.extend(message_lines(chat, room, message, width));
        if chat.selected == Some(message.seq) {
            selected = Some((first, lines.len()));
            lines[first..].iter_mut().for_each(|line| line.style = line.style.bg(Color::Indexed(237)));
        }
    }
    for pending in &room.pending {
        lines.extend(pending_lines(chat, pending, width));
    }
    (lines, selected)
}

fn message_lines(chat: &Chat, room: &Room, message: &Message, width: usize) -> Vec<Line<'static>> {
    let quote = message.reply_to.as_ref().map(|target| {
        let answered = room.messages.values().find(|other| other.message_id == *target);
        let text = match answered {
            Some(other) => {
                let content = other.content.as_deref().unwrap_or("(deleted)");
                format!("{}: {}", chat.name(&other.sender_id), content)
            }
            None => "an earlier message".into(),
        };
        format!("┌ {}", clean_line(&text))
    });
    let (body, style) = match &message.content {
        Some(content) => (clean(content), Style::new()),
        None if message.deleted_at.is_some() => ("(deleted)".into(), FAINT),
        None => (format!("({} files)", message.files.len()), FAINT),
    };
    let mut tail = Vec::new();
    if message.edited_at.is_some() && message.deleted_at.is_none() {
        tail.push(Span::styled(" (edited)", FAINT));
    }
    for reaction in &message.reactions {
        let style = if reaction.mine { Style::new().fg(Color::Cyan) } else { FAINT };
        tail.push(Span::styled(format!(" {} {}", clean_line(&reaction.emoji), reaction.count), style));
    }
    tail.extend(match room.tick(message, &chat.me) {
        Some(Tick::Sent) => Some(Span::styled(" ✓", FAINT)),
        Some(Tick::Delivered) => Some(Span::styled(" ✓✓", FAINT)),
        Some(Tick::Read) => Some(Span::styled(" ✓✓", Style::new().fg(Color::Cyan))),
        Some(Tick::Failed) => Some(Span::styled(" failed", Style::new().fg(Color::Red))),
        None => None,
    });
    let mine = message.sender_id == chat.me;
    let time = Moment::at(message.timestamp).time();
    let name = clean_line(&chat.name(&message.sender_id));
    block(&time, &name, mine, quote, &body, style, tail, width)
}

fn pending_lines(chat: &Chat, pending: &Pending, width: usize) -> Vec<Line<'static>> {
    let tail = match &pending.refused {
        Some(reason) => {
            Span::styled(format!(" not sent: {}", clean_line(reason)), Style::new().fg(Color::Red))
        }
        None if pending.acked => Span::styled(" ✓", FAINT),
        None => Span::styled(" …", FAINT),
    };
    let name = clean_line(&chat.name(&chat.me));
    block("     ", &name, true, None, &clean(&pending.content), FAINT, vec![tail], width)
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one message, each used once, in the order they are shown"
)]
fn block(
    time: &str,
    name: &str,
    mine: bool,
    quote: Option<String>,
    body: &str,
    style: Style,
    tail: Vec<Span<'static>>,
    width: usize,
) -> Vec<Line<'static>> {
    let name = cut(name, NAME_WIDTH);
    let pad = " ".repeat(NAME_WIDTH - Span::raw(&name).width());
    let colour = if mine { Color::Green } else { Color::Blue };
    let mut margin = Some(vec![
        Span::styled(format!("{time} "), FAINT),
        Span::styled(name, BOLD.fg(colour)),
        Span::raw(format!("{pad} ")),
    ]);
    let indent = 6 + NAME_WIDTH + 1;
    let room = width.saturating_sub(indent).max(8);
    let quoted = quote.into_iter().map(|quote| Span::styled(cut(&quote, room), FAINT));
    let texts = wrap(body, room).into_iter().map(|text| Span::styled(text, style));
    let mut lines: Vec<Line<'static>> = quoted
        .chain(texts)
        .map(|text| {
            let mut spans = margin.take().unwrap_or_else(|| vec![Span::raw(" ".repeat(indent))]);
            spans.push(text);
            Line::from(spans)
        })
        .collect();
    let tail_width: usize = tail.iter().map(Span::width).sum();
    match lines.last_mut() {
        Some(last) if last.width() + tail_width <= width => last.spans.extend(tail),
        _ => {
            let mut spans = vec![Span::raw(" ".repeat(indent - 1))];
            spans.extend(tail);
            lines.push(Line::from(spans));
        }
    }
    lines
}

fn draw_compose(frame: &mut Frame<'_>, area: Rect, compose: &Compose) {
    let width = usize::from(area.width.saturating_sub(3)).max(1);
    let column = compose.column();
    let skip = u16::try_from(column.saturating_sub(width)).unwrap_or(u16::MAX);
    let [mark, text] = Layout::horizontal([Constraint::Length(2), Constraint::Min(1)]).areas(area);
    frame.render_widget(Paragraph::new(Span::styled("> ", BOLD)), mark);
    frame.render_widget(Paragraph::new(compose.text()).scroll((0, skip)), text);
    let x = u16::try_from(column).unwrap_or(u16::MAX).saturating_sub(skip);
    frame.set_cursor_position(Position::new(text.x + x, text.y));
}

fn status_line(chat: &Chat) -> Line<'static> {
    let (text, colour) = match &chat.link {
        Link::Connecting => ("connecting …".to_owned(), Color::Yellow),
        Link::CatchingUp => ("catching up …".to_owned(), Color::Yellow),
        Link::Live => ("connected".to_owned(), Color::Green),
        Link::Reconnecting(reason) => (format!("reconnecting … ({})", clean_line(reason)), Color::Yellow),
        Link::Ended(reason) => (format!("ended: {}", clean_line(reason)), Color::Red),
    };
    let mut spans = vec![
        Span::styled(format!("{} ", clean_line(&chat.name(&chat.me))), BOLD),
        Span::styled(text, Style::new().fg(colour)),
    ];
    if let Some(notice) = &chat.notice {
        spans.push(Span::raw(format!("  {}", clean_line(notice))));
    } else {
        spans.push(Span::styled("  /help  times are UTC", FAINT));
    }
    Line::from(spans)
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let block = Block::bordered().title("help (any key closes)");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(HELP.join("\n")).block(block), area);
}

/// The beginning of a text, no wider than so many columns.
fn cut(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.into();
    }
    let mut kept = wrap_hard(text, width.saturating_sub(1)).next().unwrap_or_default();
    kept.push('…');
    kept
}

/// Breaks a text into lines of at most so many columns, at spaces where it can.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split_inclusive(' ') {
            let long = Span::raw(word.trim_end()).width();
            if used + long > width && used > 0 {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            if long > width {
                let mut pieces: Vec<String> = wrap_hard(word, width).collect();
                line = pieces.pop().unwrap_or_default();
                lines.extend(pieces);
                used = Span::raw(&line).width();
            } else {
                line += word;
                used += Span::raw(word).width();
            }
        }
        lines.push(line);
    }
    lines
}

/// Breaks a text between graphemes.
fn wrap_hard(text: &str, width: usize) -> impl Iterator<Item = String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for grapheme in Span::raw(text).styled_graphemes(Style::new()) {
        let wide = Span::raw(grapheme.symbol).width();
        if used + wide > width && used > 0 {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(grapheme.symbol);
        }
        used += wide;
    }
    lines.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_by_columns_between_graphemes() {
        assert_eq!(wrap("one two three", 7), ["one two ", "three"], "a space at the end may hang over");
        assert_eq!(wrap("漢漢漢", 4), ["漢漢", "漢"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
        assert_eq!(wrap("👩‍👩‍👧👩‍👩‍👧", 2), ["👩‍👩‍👧", "👩‍👩‍👧"]);
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
