use rerate::read::shape::plain::{Plain, PlainReader};
use std::time::Instant;
fn main() {
    let n: usize = std::env::args().nth(1).map_or(1, |a| a.parse().unwrap());
    let log = std::fs::read("/work/main/target/race/race-20000.jsonl").unwrap();
    let size: usize = std::env::args().nth(2).map_or(log.len(), |a| a.parse().unwrap());
    let mut log = log[..size.min(log.len())].to_vec();
    while log.last() != Some(&10) {
        log.pop();
    }
    let end = log.len();
    log.extend([0; 64]);
    let mut r = PlainReader::default();
    let mut best = f64::MAX;
    let mut lines = 0;
    let mut sum = 0u64;
    for _ in 0..n {
        let t = Instant::now();
        let (mut at, mut i) = (0, 0);
        let mut p = Plain::default();
        while at < end {
            if r.read(&log[at..], end - at, &mut p).is_none() {
                at += memchr::memchr(10, &log[at..]).unwrap() + 1;
                continue;
            }
            sum += p.counts.prompt + r.spelling().len() as u64;
            at += p.line.len() + 1;
            i += 1;
        }
        best = best.min(t.elapsed().as_secs_f64());
        lines = i;
    }
    println!(
        "{lines} lines, {:.1} ns a line, {:.2} GB/s {sum}",
        best * 1e9 / lines as f64,
        end as f64 / best / 1e9
    );
}
