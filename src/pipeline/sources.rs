//! Owns which input a thread reads next: one large file is shared, many packed ones are spread, and one whose items must
//! be read in their order is one thread's alone. Leaves to `read` how an input is read, to `reader` what its lines are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::read::lines::Block;
use crate::read::stream::Stream;
use crate::read::{Inputs, Progress};
use crate::types::origin::InputId;

/// Inputs that wait, and those being read: a thread takes the next block of a stream that no other thread is reading,
/// else opens the next input, else waits. So threads share one large file and spread over many packed ones. An input
/// whose items must be read in their order is one thread's alone.
pub(super) struct Sources<'s> {
    waiting: Mutex<std::vec::IntoIter<InputId>>,
    open: Mutex<Vec<Arc<Mutex<Option<Stream>>>>>,
    ended: Mutex<Vec<(InputId, Stream)>>,
    inputs: &'s Inputs,
    progress: &'s Arc<Progress>,
    /// An input can't be read: nobody need go on.
    failed: AtomicBool,
}

/// What a thread is given to do.
pub(super) enum Next {
    Block,
    InOrder(Box<Stream>),
    Nothing,
}

impl<'s> Sources<'s> {
    pub(super) fn new(inputs: &'s Inputs, progress: &'s Arc<Progress>) -> Sources<'s> {
        let unique = (0..inputs.list.len() as u32)
            .map(InputId)
            .filter(|id| inputs.list[id.0 as usize].same_as.is_none());
        Sources {
            waiting: Mutex::new(unique.collect::<Vec<_>>().into_iter()),
            open: Mutex::default(),
            ended: Mutex::default(),
            inputs,
            progress,
            failed: AtomicBool::new(false),
        }
    }

    /// The inputs that were read, in the order in which they ended.
    pub(super) fn into_ended(self) -> Vec<(InputId, Stream)> {
        self.ended.into_inner().expect("no thread panicked")
    }

    /// Fills `block` with lines that nobody has yet, or gives an input that one thread reads.
    pub(super) fn next(&self, block: &mut Block) -> Result<Next> {
        let next = self.find_next(block);
        if next.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        next
    }

    fn find_next(&self, block: &mut Block) -> Result<Next> {
        while !self.failed.load(Ordering::Relaxed) {
            let open: Vec<_> = self.open.lock().expect("no thread panicked").clone();
            for source in &open {
                if let Ok(mut stream) = source.try_lock()
                    && self.advance(source, &mut stream, block)?
                {
                    return Ok(Next::Block);
                }
            }
            let waiting = self.waiting.lock().expect("no thread panicked").next();
            if let Some(id) = waiting {
                let input = &self.inputs.list[id.0 as usize];
                let (threads, progress) = (rayon::current_num_threads(), self.progress.clone());
                let settings = self.inputs.settings_of(id);
                let mut streams = Stream::open(id, input, settings, threads, progress)?;
                if let Some(stream) = streams.pop_if(|stream| stream.is_in_order()) {
                    return Ok(Next::InOrder(Box::new(stream)));
                }
                let streams = streams.into_iter().map(|stream| Arc::new(Mutex::new(Some(stream))));
                self.open.lock().expect("no thread panicked").extend(streams);
                continue;
            }
            let Some(source) = open.first() else {
                if self.open.lock().expect("no thread panicked").is_empty() {
                    return Ok(Next::Nothing);
                }
                continue;
            };
            let mut stream = source.lock().expect("no thread panicked");
            if self.advance(source, &mut stream, block)? {
                return Ok(Next::Block);
            }
        }
        Ok(Next::Nothing)
    }

    /// Takes the next block of a stream, or closes it at its end.
    fn advance(
        &self,
        source: &Arc<Mutex<Option<Stream>>>,
        stream: &mut Option<Stream>,
        block: &mut Block,
    ) -> Result<bool> {
        let Some(open) = stream else { return Ok(false) };
        if open.next(block)? {
            return Ok(true);
        }
        if let Some(ended) = stream.take() {
            self.close(ended);
        }
        self.open.lock().expect("no thread panicked").retain(|other| !Arc::ptr_eq(other, source));
        Ok(false)
    }

    pub(super) fn close(&self, ended: Stream) {
        self.ended.lock().expect("no thread panicked").push((ended.input(), ended));
    }
}
