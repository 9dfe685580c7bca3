//! Owns the time of each step of the hot path by itself: handing something to another core, unpacking, decode, usage,
//! dedupe, tally, windows, and books on cells. So that a step that grows slowly slower is seen, beside what it took the
//! last time (target/criterion). How long the whole job takes is for the race; no test asserts a time.
//!
//! ```sh
//! cargo bench --bench micro                 # all of them, a minute after the build
//! cargo bench --bench micro -- decode       # those that are named so
//! cargo bench --bench micro -- --test       # each once, untimed
//! ```

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{self, Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use rayon::prelude::*;
use rerate::balance::Records;
use rerate::books::{Books, Sources};
use rerate::charge::{self, Rated};
use rerate::error::Result;
use rerate::generate::{Generator, Settings};
use rerate::mediate::dedupe::{Dealer, Dealt, Hand, IdentityKey, settle};
use rerate::mediate::groups::AllGroups;
use rerate::mediate::shard::Shard;
use rerate::memory::Memory;
use rerate::pipeline::{self, Rating, Replay};
use rerate::quota::window::{Seconds, Series, Used, peaks};
use rerate::read::decompress::Unpacked;
use rerate::read::lines::BLOCK;
use rerate::read::settings::Defaults;
use rerate::read::shape::canonical::{Decoded, Decoder};
use rerate::read::shape::cursor::MARGIN;
use rerate::read::shape::plain::{Plain, PlainReader};
use rerate::tally::{Tallied, Tallier, sum_up};
use rerate::types::day::{Day, Days, Instant, Window};
use rerate::types::request::GroupFacts;
use rerate::types::tally::{Arrival, CellKey, Cells, GroupId, Tally, Traffic};
use rerate::types::tier::UsageTier;
use rerate::types::usage::{Counts, Usage};
use rerate::walk::Plan;

/// Lines that are decoded, and the requests of which the other steps have as many copies as they want.
const LINES: usize = 50_000;
const MILLION: usize = 1_000_000;
/// The 25 hours of a day, spread over it.
const SECONDS_OF_DAY: usize = 25 * 3600;

criterion_group! {
    name = steps;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = cores, unpack, decode, usage, dedupe, tally, windows, books_on_cells
}
criterion_main!(steps);

/// How far one core is from another, since all that threads hand to each other takes as much longer; those of a virtual
/// machine move.
fn cores(criterion: &mut Criterion) {
    let turn = AtomicU64::new(0);
    // Waits for each of its turns, and ends it.
    let take_turns = |turns: u64, first: u64| {
        for mine in (first..2 * turns).step_by(2) {
            while turn.load(Ordering::Acquire) != mine {
                std::hint::spin_loop();
            }
            turn.store(mine + 1, Ordering::Release);
        }
    };
    criterion.bench_function("cores/a line of memory to another and back", |bencher| {
        bencher.iter_custom(|rounds| {
            turn.store(0, Ordering::Relaxed);
            let begin = time::Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| take_turns(rounds, 1));
                take_turns(rounds, 0);
            });
            begin.elapsed()
        });
    });
}

/// A packed log beside the speed of the library that unpacks it.
fn unpack(criterion: &mut Criterion) {
    let log = Log::new();
    let text = &log.bytes[..log.end];
    let gz = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes it")
    };
    let one = gz(text);
    let members: Vec<u8> = text.chunks(2 << 20).flat_map(gz).collect();
    let frame = zstd::encode_all(text, 3).expect("memory takes it");
    let open = |packed: &Arc<[u8]>| {
        let source = Box::new(Cursor::new(packed.clone()));
        Unpacked::new(source, Arc::default()).unwrap_or_else(|error| panic!("{error}"))
    };
    let mut buffer = vec![0; BLOCK];
    let mut group = criterion.benchmark_group("unpack");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("gz, the library alone", |bencher| {
        bencher.iter(|| assert_eq!(read_all(MultiGzDecoder::new(&one[..]), &mut buffer), text.len()));
    });
    let one: Arc<[u8]> = one.into();
    group.bench_function("gz, one member", |bencher| {
        bencher.iter(|| assert_eq!(unpack_all(open(&one), &mut buffer), text.len()));
    });
    let members: Arc<[u8]> = members.into();
    group.bench_function("gz, members of 2 MiB", |bencher| {
        bencher.iter(|| assert_eq!(unpack_all(open(&members), &mut buffer), text.len()));
    });
    group.bench_function("gz, members of 2 MiB, with a thread that helps", |bencher| {
        bencher.iter(|| {
            let unpacked = open(&members);
            let (ahead, done) = (unpacked.ahead().expect("it is a gz"), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        if !ahead.help(1) {
                            std::hint::spin_loop();
                        }
                    }
                });
                assert_eq!(unpack_all(unpacked, &mut buffer), text.len());
                done.store(true, Ordering::Relaxed);
            });
        });
    });
    group.bench_function("zst, the library alone", |bencher| {
        let open = || zstd::Decoder::with_buffer(&frame[..]).expect("it is a zst");
        bencher.iter(|| assert_eq!(read_all(open(), &mut buffer), text.len()));
    });
    let frame: Arc<[u8]> = frame.clone().into();
    group.bench_function("zst, one frame", |bencher| {
        bencher.iter(|| assert_eq!(unpack_all(open(&frame), &mut buffer), text.len()));
    });
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let (log, books, defaults) = (Log::new(), books(), Defaults::default());
    let decoder = Decoder::new(&books.methods, &defaults);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::ElementsAndBytes { elements: LINES as u64, bytes: log.end as u64 });
    for (name, mut reader) in
        [("plain lines", PlainReader::default()), ("plain lines without AVX2", PlainReader::without_avx2())]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                log.each_plain(&mut reader, |plain| {
                    black_box(plain.at);
                })
            });
        });
    }
    group.bench_function("lines by the strict decoder", |bencher| {
        bencher.iter(|| {
            for line in log.lines() {
                assert!(matches!(black_box(decoder.decode(line)), Decoded::Request(_)));
            }
        });
    });
    group.finish();
}

/// What is worked out of a line's counts.
fn usage(criterion: &mut Criterion) {
    let log = Log::new();
    let mut counts: Vec<Counts> = Vec::new();
    log.each_plain(&mut PlainReader::default(), |plain| counts.push(plain.counts.clone()));
    let mut group = criterion.benchmark_group("usage");
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("quantities out of counts", |bencher| {
        let mut usage = Usage::default();
        bencher.iter(|| {
            for counts in &counts {
                usage.fill(counts).expect("generated counts fit together");
                black_box(&usage);
            }
        });
    });
    group.finish();
}

fn dedupe(criterion: &mut Criterion) {
    let (books, log) = (books(), Log::new());
    let requests = Requests::new(&log, &books);
    let groups = Vec::new();
    let mut group = criterion.benchmark_group("dedupe");
    group.throughput(Throughput::Elements(MILLION as u64));
    group.bench_function("1,000,000 requests dealt", |bencher| bencher.iter(|| requests.deal(MILLION)));
    let shards = requests.deal(MILLION);
    group.bench_function("1,000,000 rows settled", |bencher| {
        bencher.iter(|| {
            let mut told = 0;
            for shard in &shards {
                let shard = std::slice::from_ref(shard);
                settle(shard, &groups, |_| true, |_| told += 1).expect("few rows");
            }
            assert_eq!(told, 0, "no identity comes twice");
        });
    });
    group.finish();
}

fn tally(criterion: &mut Criterion) {
    let (books, log) = (books(), Log::new());
    let requests = Requests::new(&log, &books);
    let studio_terms = books.accounts.studio_terms(None);
    let mut group = criterion.benchmark_group("tally");
    group.throughput(Throughput::Elements(MILLION as u64));
    group.bench_function("1,000,000 requests added", |bencher| {
        bencher.iter_with_large_drop(|| {
            let mut tallier = Tallier::new(&books, &studio_terms, None);
            requests.add(MILLION, &mut tallier);
            tallier
        });
    });
    group.bench_function("1,000,000 requests summed up", |bencher| {
        let added = || {
            let mut tallier = Tallier::new(&books, &studio_terms, None);
            requests.add(MILLION, &mut tallier);
            vec![tallier]
        };
        bencher.iter_batched(
            added,
            |talliers| sum_up(talliers).expect("small sums"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn windows(criterion: &mut Criterion) {
    // Steps of a prime number of seconds, so that they come in no order.
    let second = |place: usize| (place * 7919 % SECONDS_OF_DAY) as u32;
    let arrival = |place: usize| Arrival::new(second(place), place as u64 % 4096);
    let arrivals: Vec<Arrival> = (0..MILLION).map(arrival).collect();
    let mut group = criterion.benchmark_group("windows");
    group.throughput(Throughput::Elements(MILLION as u64));
    for (name, length) in [("one series of 1,000,000", MILLION), ("1,000 series of 1,000", 1_000)] {
        let (mut table, mut used) = (Seconds::default(), Used::default());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for arrivals in arrivals.chunks(length) {
                    let series = Series { arrivals, counted: true, throttled: false, undated: false };
                    table.add_up(&[series], &mut used);
                    black_box(peaks(&used, [Some(1_000), None]));
                }
            });
        });
    }
    group.finish();
}

/// What other prices for known sums cost: the cells of a log, on as many days as make a million.
fn books_on_cells(criterion: &mut Criterion) {
    let (books, log) = (books(), Log::new());
    let requests = Requests::new(&log, &books);
    let studio_terms = books.accounts.studio_terms(None);
    let mut tallier = Tallier::new(&books, &studio_terms, Some(UsageTier::Tier1));
    requests.add(LINES, &mut tallier);
    let (of_days, _) = sum_up(vec![tallier]).expect("small sums");
    let first = requests.list[0].at.day();
    // Those of all its days as of one.
    let cells: Cells = of_days
        .cells
        .values()
        .flatten()
        .map(|(key, cell)| (CellKey { day: first, ..*key }, cell.clone()))
        .collect();
    let mut tally = Tally::default();
    for (day, cells) in (first.0..).map(Day).zip(std::iter::repeat_n(&cells, MILLION.div_ceil(cells.len()))) {
        let left = MILLION - tally.cells.values().map(Cells::len).sum::<usize>();
        let of_day = cells.iter().take(left).map(|(key, cell)| (CellKey { day, ..*key }, cell.clone()));
        tally.cells.insert(day, of_day.collect());
    }
    let replay = Replay {
        records: Records::default(),
        inputs: Vec::new(),
        left: BTreeMap::new(),
        suspended: Vec::new(),
        groups: requests.groups.clone(),
        tally,
        traffic: Traffic::default(),
        memory: Memory::new(None, 1),
        kept: BTreeMap::new(),
        last_read: None,
    };
    let plan = Plan::new(&pipeline::days_seen(&replay), Window::default(), &[]).expect("there are days");
    let carries = BTreeMap::new();
    let mut group = criterion.benchmark_group("books");
    group.throughput(Throughput::Elements(MILLION as u64));
    // What each day costs by itself, as a repricing needs it; then with all that is handed on from day to day.
    group.bench_function("1,000,000 cells rated", |bencher| {
        bencher.iter_with_large_drop(|| -> Vec<Rated<'_>> {
            let rate = |(day, cells): (&Day, &Cells)| charge::rate(*day, cells, &replay.groups, &books);
            replay.tally.cells.par_iter().map(rate).collect::<Result<_>>().expect("a small sum of money")
        });
    });
    group.bench_function("1,000,000 cells rated and walked", |bencher| {
        bencher.iter_with_large_drop(|| {
            let rating = Rating::new(&replay, &books, &plan, &carries, Some(UsageTier::Tier1));
            let rated: Vec<_> = rating.collect::<Result<_>>().expect("a small sum of money");
            assert_eq!(rated.iter().flatten().map(|day| day.cells.len()).sum::<usize>(), MILLION);
            rated
        });
    });
    group.finish();
}

fn read_all(mut source: impl Read, buffer: &mut [u8]) -> usize {
    std::iter::from_fn(|| Some(source.read(buffer).expect("it is whole")).filter(|count| *count > 0)).sum()
}

fn unpack_all(mut unpacked: Unpacked, buffer: &mut [u8]) -> usize {
    let read = |unpacked: &mut Unpacked, buffer: &mut [u8]| match unpacked.read(buffer) {
        Ok(count) => count,
        Err(_) => panic!("it is whole"),
    };
    std::iter::from_fn(|| Some(read(&mut unpacked, buffer)).filter(|count| *count > 0)).sum()
}

fn books() -> Books {
    Books::load(&Sources::default()).expect("the books in the program are right")
}

/// A log as the race has it, in memory.
struct Log {
    /// Lines, and after them what a reader of plain lines wants to look at.
    bytes: Vec<u8>,
    end: usize,
}

impl Log {
    fn new() -> Log {
        let settings = Settings { records: LINES as u64, race: true, ..Settings::default() };
        let mut bytes = Vec::new();
        let mut generator = Generator::new(&settings);
        while generator.fill(&mut bytes, usize::MAX / 2).is_some() {}
        let end = bytes.len();
        bytes.resize(end + MARGIN, 0);
        Log { bytes, end }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes[..self.end].split_inclusive(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end)
    }

    fn each_plain<'log>(&'log self, reader: &mut PlainReader, mut each: impl FnMut(&Plain<'log>)) {
        let (mut at, mut lines) = (0, 0);
        let mut plain = Plain::default();
        while at < self.end {
            reader.read(&self.bytes[at..], self.end - at, &mut plain).expect("generated lines are plain");
            at += plain.line.len() + 1;
            lines += 1;
            each(&plain);
        }
        assert_eq!(lines, LINES);
    }
}

/// The requests of a log, as they are dealt and added.
struct Requests {
    list: Vec<Asked>,
    groups: Vec<Arc<GroupFacts>>,
}

struct Asked {
    at: Instant,
    group: GroupId,
    usage: Usage,
}

impl Requests {
    fn new(log: &Log, books: &Books) -> Requests {
        let defaults = Defaults::default();
        let decoder = Decoder::new(&books.methods, &defaults);
        let groups = AllGroups::default();
        let mut list = Vec::new();
        for line in log.lines() {
            let Decoded::Request(request) = decoder.decode(line) else {
                panic!("generated lines are requests")
            };
            let (group, usage) = (groups.meet(&request.facts).0, request.usage.unwrap_or_default());
            list.push(Asked { at: request.at, group, usage });
        }
        Requests { list, groups: groups.into_groups() }
    }

    /// Deals `count` requests, each with an id of its own.
    fn deal(&self, count: usize) -> Vec<Shard> {
        let mut dealer = Dealer::new(IdentityKey::new());
        for (id, asked) in (0..count as u64).zip(self.list.iter().cycle()) {
            let facts = &self.groups[asked.group.0 as usize];
            let hand = Hand {
                at: asked.at,
                request_id: &id.to_le_bytes(),
                project: dealer.project(&facts.project_id),
                status: facts.status,
                group: asked.group,
                usage: Dealt::Usage(&asked.usage),
                tokens_unknown: false,
                thoughts_assumed: false,
                undated: false,
            };
            let identity = dealer.identify(&hand);
            dealer.deal(&hand, identity, None);
        }
        dealer.into_shards()
    }

    fn add(&self, count: usize, tallier: &mut Tallier<'_>) {
        for (place, facts) in self.groups.iter().enumerate() {
            tallier.meet(GroupId(place as u32), facts);
        }
        let mut days = Days::default();
        for Asked { at, group, usage } in self.list.iter().cycle().take(count) {
            let tallied = Tallied {
                at: *at,
                day: days.of(*at),
                group: *group,
                no_id: false,
                tokens_unknown: false,
                thoughts_assumed: false,
                undated: false,
                usage,
            };
            let place = tallier.place(&tallied);
            tallier.add(&tallied, place);
        }
    }
}
