use super::super::take_over::{Present, take_over};
use crate::engines::Engines;
use crate::router::topic;
use chat4all_backend::Result;
use chat4all_backend::log::Topic;
use chat4all_model::reader::Progress;
use chat4all_model::record::Input;

/// Records of one topic that the target's log must hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) topic: Topic,
    pub(super) records: u64,
}

/// Takes over the commands that are not decided yet, and what is on its way to other platforms. `decided` tells how
/// far the source has come in each partition.
pub(super) async fn take_over_all(from: &Engines, to: &Engines, decided: &[Progress]) -> Result<Vec<Taken>> {
    let (old, new) = (from.log.as_ref(), to.log.as_ref());
    let inputs = [Input::Messages, Input::StatusUpdates].map(|input| (topic(input), Some(input)));
    let outbound = [Topic::WhatsappOutbound, Topic::InstagramOutbound].map(|topic| (topic, None));
    let mut all = Vec::new();
    for (topic, input) in inputs.into_iter().chain(outbound) {
        let (mut present, mut records) = (Present::of(new, topic).await?, 0);
        for (partition, progress) in (0..).zip(decided) {
            let source = input.and_then(|input| progress.source(input));
            let first = source.map_or(0, |source| source.offset + 1);
            records += take_over(old, new, (topic, partition), first, &mut present).await?;
        }
        all.push(Taken { topic, records });
    }
    Ok(all)
}
