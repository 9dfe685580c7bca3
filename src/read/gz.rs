//! Owns inflating a gz: its members one after the other, and ahead of them what threads inflate that have nothing else to
//! do. What the bytes are is for `lines`; which thread helps is for the pipeline.
//!
//! Where a member ends only inflating it tells, so a gz is read in order. But a member begins with a header, and what
//! looks like one further on most likely is one: so a thread that helps inflates from there on, and holds what comes of it.
//!
//! ```text
//! stored    1f8b08…            1f8b08…            1f8b08…
//!           in order ─────▶    held ───▶
//!                         └── ends here: what is held is next, and goes on in order
//! ```
//! When the member before it ends just there, with its checksum and length right, it is what would have been inflated next.
//! When none ends there it was no header, and what is held is thrown away. So what is read is the same with help and
//! without it, however much comes of it.
//!
//! **Invariants**
//! - In memory are at most [`Reach::stored`] bytes of the input, and [`Reach::held`] bytes and a step of each run ahead.
//! - Nothing is given that a reader without help would not give.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard};

use flate2::{Decompress, FlushDecompress, Status};
use memchr::memmem;

use super::decompress::{Broken, ENDS_EARLY, IS_DIFFERENT, Stored};

/// Bytes read at once.
const CHUNK: usize = 128 << 10;

/// How far helpers go.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// From where reading is to the first header that is tried, and from one to the next: nearer ones are soon reached.
    apart: u64,
    /// How far ahead a header is looked for: members of 16 MiB of text are shorter.
    stored: u64,
    /// Bytes inflated of a run. What is longer goes on in order.
    held: usize,
    /// Bytes inflated at once: so few that nobody waits for long.
    step: usize,
}

const REACH: Reach = Reach { apart: 256 << 10, stored: 3 << 20, held: 2 << 20, step: 256 << 10 };

/// A gz that is read in order.
pub struct Gz {
    ahead: Arc<Ahead>,
    run: Run,
}

/// What lies ahead of it, for those who help.
pub struct Ahead {
    packed: Mutex<Packed>,
    reach: Reach,
}

/// The bytes as stored, as far as they are needed.
struct Packed {
    stored: Stored,
    ended: bool,
    chunks: VecDeque<Chunk>,
    /// Where the next chunk begins.
    end: u64,
    /// Where reading in order is, as far as it has told.
    in_order: u64,
    /// Up to here headers were looked for.
    searched: u64,
    /// Where each begins, ascending. None when it was taken.
    runs: VecDeque<(u64, Arc<Mutex<Option<Run>>>)>,
}

#[derive(Clone)]
struct Chunk {
    at: u64,
    bytes: Arc<Vec<u8>>,
}

/// Members that are inflated one after the other.
struct Run {
    /// Where it goes on.
    at: u64,
    chunk: Option<Chunk>,
    inflate: Decompress,
    state: State,
    /// Inflated, and given from a place on.
    held: Vec<u8>,
    given: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    Within,
    Ended,
    Broken(&'static str),
}

impl Gz {
    pub fn new(stored: Stored) -> Gz {
        Gz::reaching(stored, REACH)
    }

    fn reaching(stored: Stored, reach: Reach) -> Gz {
        let packed = Packed {
            stored,
            ended: false,
            chunks: VecDeque::new(),
            end: 0,
            in_order: 0,
            searched: 0,
            runs: VecDeque::new(),
        };
        Gz { ahead: Arc::new(Ahead { packed: Mutex::new(packed), reach }), run: Run::new(0) }
    }

    pub fn ahead(&self) -> Arc<Ahead> {
        self.ahead.clone()
    }

    /// Reads some bytes; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        loop {
            let run = &mut self.run;
            let held = &run.held[run.given..];
            if !held.is_empty() {
                let count = held.len().min(buffer.len());
                buffer[..count].copy_from_slice(&held[..count]);
                run.given += count;
                return Ok(count);
            }
            match run.state {
                State::Between => {
                    if let Some(next) = self.ahead.take(run.at) {
                        *run = next;
                        continue;
                    }
                }
                State::Within => {}
                State::Ended | State::Broken(_) => {
                    return match (self.ahead.packed().stored.failure(), run.state) {
                        (Some(failure), _) => Err(Broken::Storage(failure)),
                        (None, State::Broken(why)) => Err(Broken::Content(why.to_string())),
                        _ => Ok(0),
                    };
                }
            }
            let count = run.step(buffer, |at| self.ahead.packed().pass(at));
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Reads what inflating left, so that the hash is of the whole; gives the bytes as stored and their hash.
    pub fn finish(&mut self) -> io::Result<(u64, String)> {
        self.ahead.packed().stored.finish()
    }
}

impl Ahead {
    /// Inflates a piece of what is ahead, in one of `most` runs, or looks for where one may begin; false when there is
    /// nothing to do.
    pub fn help(&self, most: usize) -> bool {
        let mut packed = self.packed();
        for place in 0..packed.runs.len() {
            let next = packed.runs.get(place + 1).map(|(start, _)| *start);
            let run = packed.runs[place].1.clone();
            if let Ok(mut run) = run.try_lock()
                && let Some(run) = run.as_mut()
                && run.goes_on(next, self.reach.held)
            {
                drop(packed);
                run.hold(self.reach.step, |at| self.packed().chunk(at));
                return true;
            }
        }
        packed.runs.len() < most && packed.begin_run(self.reach)
    }

    /// The run that begins at `at`, where a member has ended.
    fn take(&self, at: u64) -> Option<Run> {
        let run = {
            let mut packed = self.packed();
            packed.forget(at);
            packed.runs.pop_front_if(|(start, _)| *start == at)?.1
        };
        // Who is just inflating a piece of it is soon done.
        run.lock().expect("no thread panicked").take()
    }

    fn packed(&self) -> MutexGuard<'_, Packed> {
        self.packed.lock().expect("no thread panicked")
    }
}

impl Packed {
    /// The chunk in which `at` lies, where reading in order is; None at the end.
    fn pass(&mut self, at: u64) -> Option<Chunk> {
        self.forget(at);
        self.chunk(at)
    }

    /// Reading in order needs nothing before `at` any more.
    fn forget(&mut self, at: u64) {
        self.in_order = at;
        while self.chunks.pop_front_if(|chunk| chunk.end() <= at).is_some() {}
        // No member ended where these begin.
        while self.runs.pop_front_if(|(start, _)| *start < at).is_some() {}
    }

    fn chunk(&mut self, at: u64) -> Option<Chunk> {
        while at >= self.end && !self.ended {
            self.read_chunk();
        }
        self.chunks.iter().find(|chunk| chunk.holds(at)).cloned()
    }

    fn read_chunk(&mut self) {
        let mut bytes = Vec::with_capacity(CHUNK);
        // Of an error storage keeps what it said.
        let read = (&mut self.stored).take(CHUNK as u64).read_to_end(&mut bytes);
        self.ended = bytes.len() < CHUNK || read.is_err();
        let at = self.end;
        self.end += bytes.len() as u64;
        if !bytes.is_empty() {
            self.chunks.push_back(Chunk { at, bytes: Arc::new(bytes) });
        }
    }

    /// Begins a run where a chunk has a header, or reads the next chunk; false when it isn't to go further.
    fn begin_run(&mut self, reach: Reach) -> bool {
        let last = self.runs.back().map_or(self.in_order, |(start, _)| *start);
        let from = self.searched.max(last + reach.apart);
        if from >= self.in_order + reach.stored {
            return false;
        }
        if from >= self.end {
            if self.ended {
                return false;
            }
            self.read_chunk();
            return true;
        }
        let Some(chunk) = self.chunk(from) else { return false };
        self.searched = chunk.end();
        if let Some(header) = find_header(&chunk.bytes[(from - chunk.at) as usize..]) {
            let start = from + header as u64;
            self.searched = start + 1;
            self.runs.push_back((start, Arc::new(Mutex::new(Some(Run::new(start))))));
        }
        true
    }
}

impl Chunk {
    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn holds(&self, at: u64) -> bool {
        (self.at..self.end()).contains(&at)
    }
}

impl Run {
    fn new(at: u64) -> Run {
        let inflate = Decompress::new_gzip(15);
        Run { at, chunk: None, inflate, state: State::Between, held: Vec::new(), given: 0 }
    }

    /// Inflates some bytes into `out`, of one member at most; 0 when none came of it, or it has ended. `chunk` gives the
    /// stored bytes.
    fn step(&mut self, out: &mut [u8], chunk: impl FnOnce(u64) -> Option<Chunk>) -> usize {
        if self.chunk.as_ref().is_none_or(|chunk| !chunk.holds(self.at)) {
            self.chunk = chunk(self.at);
        }
        let Some(chunk) = &self.chunk else {
            let within = self.state == State::Within;
            self.state = if within { State::Broken(ENDS_EARLY) } else { State::Ended };
            return 0;
        };
        let stored = &chunk.bytes[(self.at - chunk.at) as usize..];
        let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
        let inflated = self.inflate.decompress(stored, out, FlushDecompress::None);
        let count = self.inflate.total_out() - given;
        self.at += self.inflate.total_in() - taken;
        self.state = match inflated {
            Ok(Status::StreamEnd) => {
                self.inflate.reset(true);
                State::Between
            }
            Ok(_) => State::Within,
            Err(_) => State::Broken(IS_DIFFERENT),
        };
        count as usize
    }

    /// Inflates a piece that is held.
    fn hold(&mut self, most: usize, chunk: impl FnOnce(u64) -> Option<Chunk>) {
        let mut held = std::mem::take(&mut self.held);
        let length = held.len();
        held.resize(length + most, 0);
        let count = self.step(&mut held[length..], chunk);
        held.truncate(length + count);
        self.held = held;
    }

    /// Whether more of it is to be held; where the next run begins at the end of a member this one has done its part.
    fn goes_on(&self, next: Option<u64>, most: usize) -> bool {
        let is_under_way = match self.state {
            State::Between => next != Some(self.at),
            State::Within => true,
            State::Ended | State::Broken(_) => false,
        };
        is_under_way && self.held.len() < most
    }
}

/// Where something begins that may be the header of a member: deflated, no flag that nobody knows, one of the three
/// ways that are noted of deflating.
fn find_header(bytes: &[u8]) -> Option<usize> {
    const LENGTH: usize = 10;
    memmem::find_iter(bytes, b"\x1f\x8b\x08").find(|at| {
        let header = bytes[*at..].get(..LENGTH);
        header.is_some_and(|header| header[3] & 0xe0 == 0 && matches!(header[8], 0 | 2 | 4))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const NEAR: Reach = Reach { apart: 300, stored: 400_000, held: 5_000, step: 700 };

    struct Dice(u64);

    impl Dice {
        fn below(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % sides
        }

        /// Bytes that shrink to about a third.
        fn text(&mut self, length: u64) -> Vec<u8> {
            (0..length).map(|_| b"aabbccddeeffgghh"[self.below(4 + length % 12) as usize]).collect()
        }
    }

    fn packed(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    fn open(stored: &[u8]) -> Gz {
        Gz::reaching(Stored::new(Box::new(Cursor::new(stored.to_vec())), Arc::default()), NEAR)
    }

    /// What is read, and how it ends.
    fn read(mut gz: Gz, mut room: impl FnMut(&Ahead) -> usize) -> (Vec<u8>, Option<String>) {
        let (mut read, ahead) = (Vec::new(), gz.ahead());
        loop {
            let mut buffer = vec![0; room(&ahead)];
            match gz.read(&mut buffer) {
                Ok(0) => return (read, None),
                Ok(count) => read.extend_from_slice(&buffer[..count]),
                Err(Broken::Content(why)) => return (read, Some(why)),
                Err(Broken::Storage(error)) => panic!("{error}"),
            }
        }
    }

    /// Members of all lengths, of which some hold a gz that isn't packed again: its headers look like members of the whole.
    fn members(dice: &mut Dice) -> (Vec<u8>, Vec<u8>) {
        let (mut stored, mut text) = (Vec::new(), Vec::new());
        while stored.len() < 3 * CHUNK {
            let length = [0, 10, 3_000, 40_000, 200_000][dice.below(5) as usize];
            let mut bytes = dice.text(length);
            if dice.below(3) == 0 {
                bytes = packed(&bytes, 6).repeat(2);
            }
            let level = if dice.below(2) == 0 { 0 } else { 6 };
            stored.extend(packed(&bytes, level));
            text.extend(bytes);
        }
        (stored, text)
    }

    #[test]
    fn help_changes_nothing_in_what_is_read() {
        let mut dice = Dice(1);
        let (mut held, mut thrown) = (0, 0);
        for round in 0..12 {
            let (mut stored, text) = members(&mut dice);
            match round % 4 {
                0 => {}
                1 => stored.truncate(stored.len() - 1 - dice.below(100_000) as usize),
                2 => stored.extend(b"no member"),
                _ => {
                    let place = stored.len() / 2 + dice.below(stored.len() as u64 / 2) as usize;
                    stored[place] ^= 1 << dice.below(8);
                }
            }
            let alone = read(open(&stored), |_| 1 << 20);
            assert!(text.starts_with(&alone.0) || round % 4 == 3, "{round}");
            assert_eq!(alone.1.is_none(), round % 4 == 0, "{round}");
            assert!(round % 4 != 0 || alone.0 == text, "{round}");
            let helped = read(open(&stored), |ahead| {
                for _ in 0..dice.below(40) {
                    ahead.help(2);
                }
                let packed = ahead.packed();
                held += usize::from(packed.runs.iter().any(|(_, run)| {
                    run.lock().unwrap().as_ref().is_some_and(|run| run.state == State::Within)
                }));
                thrown += usize::from(packed.runs.iter().any(|(_, run)| {
                    run.lock().unwrap().as_ref().is_some_and(|run| matches!(run.state, State::Broken(_)))
                }));
                1 + dice.below(9_000) as usize
            });
            assert!(helped == alone, "{round}: {:?}, alone {:?}", helped.1, alone.1);

            let gz = open(&stored);
            let (ahead, done) = (gz.ahead(), std::sync::atomic::AtomicBool::new(false));
            let helped = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        ahead.help(3);
                    }
                });
                let read = read(gz, |_| 2_000);
                done.store(true, std::sync::atomic::Ordering::Relaxed);
                read
            });
            assert!(helped == alone, "{round}: by a thread {:?}, alone {:?}", helped.1, alone.1);
        }
        assert!(held > 100 && thrown > 10, "runs were held {held} times, and thrown away {thrown}");
    }

    #[test]
    fn what_is_ahead_is_bounded() {
        // One member of a thousand times its size, after one that is being read.
        let stored = [packed(&Dice(7).text(50_000), 0), packed(&vec![0; 30 << 20], 6)].concat();
        let gz = open(&stored);
        let ahead = gz.ahead();
        while ahead.help(1) {}
        let packed = ahead.packed();
        let run = packed.runs[0].1.lock().unwrap();
        let held = run.as_ref().expect("nobody took it").held.len();
        assert!((NEAR.held..NEAR.held + NEAR.step).contains(&held), "{held}");
    }
}
