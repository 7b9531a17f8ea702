//! The SQL shell in a real terminal. On Linux, where `/proc` tells whether a process computes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};

const ORDERS: &str = "\
order_id,customer_id,ordered_at,status,currency,revenue
o1,ada,2026-03-04T09:00:00Z,completed,USD,100.01
o2,bob,2026-03-05T09:00:00.123456Z,completed,USD,19.99
o3,\"c, \"\"d\"\"\",2026-03-06T09:00:00Z,pending,USD,0.00
";
/// Never done, and never idle: much to add up, and nothing ever found.
const ENDLESS: [&str; 2] = [
    "select sum(a.value * b.value) as n from range(1, 3000000) a, range(1, 3000000) b;",
    "select 1 as n from range(1, 1000) a join range(1, 100000000) b on (a.value + b.value) % 7 = 8;",
];
const PATIENCE: Duration = Duration::from_mins(1);

/// A folder with a lake, in which commands are run.
pub struct Lake(tempfile::TempDir);

impl Lake {
    pub fn new() -> Self {
        let lake = Self(tempfile::tempdir().unwrap());
        std::fs::write(lake.path("orders.csv"), ORDERS).unwrap();
        let output = lake.run(&["land", "orders", "orders.csv", "--store", "shop"]);
        assert!(output.status.success(), "{}", stderr(&output));
        lake
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.env_clear().current_dir(self.0.path()).stdin(Stdio::null()).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The shell in a terminal of 100 columns and 24 rows.
    fn shell(&self, arguments: &str) -> Terminal {
        let mut command = Command::new("/bin/sh");
        let script = format!(
            "stty rows 24 cols 100; echo pid:$$; exec '{}' sql {arguments}",
            env!("CARGO_BIN_EXE_tributary")
        );
        command.args(["-c", &script]).current_dir(self.0.path()).env_clear();
        command.envs([("PATH", "/usr/bin:/bin"), ("TERM", "xterm"), ("PAGER", "sed s/^/paged:/")]);
        command.env("HOME", self.0.path());
        let options =
            Options::new().timeout_ms(Some(PATIENCE.as_millis() as u64)).strip_ansi_escape_codes(true);
        let mut session = spawn_with_options(command, options).unwrap();
        let (_, pid) = session.exp_regex("pid:[0-9]+").unwrap();
        Terminal { session, pid: pid["pid:".len()..].parse().unwrap() }
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The screen and the keyboard of a shell.
struct Terminal {
    session: PtySession,
    pid: u32,
}

impl Terminal {
    fn types(&mut self, text: &str) -> &mut Self {
        self.session.send(text).unwrap();
        self.session.flush().unwrap();
        self
    }

    fn enters(&mut self, line: &str) -> &mut Self {
        self.types(line).types("\r")
    }

    fn presses_ctrl(&mut self, letter: char) -> &mut Self {
        self.session.send_control(letter).unwrap();
        self
    }

    /// Gives up a line with Ctrl-C, which is done when there is a new prompt.
    fn gives_up(&mut self) -> &mut Self {
        self.presses_ctrl('c').sees("\n\rshop> \r");
        self
    }

    /// Waits until the screen shows a text; what stood before it.
    fn sees(&mut self, text: &str) -> String {
        self.session.exp_string(text).unwrap_or_else(|error| panic!("no {text:?} on the screen: {error}"))
    }

    /// Leaves with Ctrl-D, which is no failure.
    fn leaves(mut self) -> String {
        self.presses_ctrl('d');
        let rest = self.session.exp_eof().unwrap();
        let status = self.session.process().wait().unwrap();
        assert!(
            format!("{status:?}").starts_with("Exited(") && format!("{status:?}").ends_with(", 0)"),
            "{status:?}"
        );
        rest
    }
}

/// A server over the lake, until it is dropped.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    pub fn start(lake: &Lake) -> Self {
        let mut child = lake
            .command(&["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Hundredths of a second of processor time that a process has used.
fn used(pid: u32) -> u64 {
    let mut stat = String::new();
    std::fs::File::open(format!("/proc/{pid}/stat")).unwrap().read_to_string(&mut stat).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// How much of that a process uses in half a second.
fn used_in_a_while(pid: u32) -> u64 {
    let before = used(pid);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    used(pid) - before
}

/// Waits until a process has computed for a while; others may have the processor, too.
fn is_busy(pid: u32) {
    let begun = Instant::now();
    let before = used(pid);
    while used(pid) - before < 20 {
        assert!(begun.elapsed() < PATIENCE, "{pid} does nothing");
        used_in_a_while(pid);
    }
}

/// Waits until a process does nothing any more.
fn becomes_quiet(pid: u32) {
    let begun = Instant::now();
    while used_in_a_while(pid) > 1 {
        assert!(begun.elapsed() < Duration::from_secs(15), "{pid} is still busy");
    }
}

#[test]
fn statements_commands_and_mistakes_are_answered_in_a_terminal() {
    let lake = Lake::new();
    let mut shell = lake.shell("");
    shell.sees("on shop");
    shell.sees("shop> ");
    shell
        .enters("select order_id, -- ;")
        .enters("  ';' as mark,")
        .enters("  revenue")
        .enters("from orders order by order_id;");
    shell.sees("o1");
    shell.sees("100.01");
    shell.sees("3 rows");

    shell.enters("select revenu from orders;");
    shell.sees("error: unknown column revenu, did you mean revenue?");
    shell.sees("line 1: select revenu from orders");
    shell.sees("               ^^^^^^");
    shell.enters("select 1").enters("  fro orders x y;");
    shell.sees("line 2:   fro orders x y");
    shell.enters("\\quries");
    shell.sees("unknown command \\quries, did you mean \\queries?");

    shell.enters("\\set who bob");
    shell.enters("select count(*) as n from orders where customer_id = $whoo;");
    shell.sees("parameter $whoo has no value, did you mean $who?");
    shell.enters("select order_id as of_bob from orders where customer_id = $who;");
    shell.sees("o2");
    shell.sees("1 row");

    shell.enters("\\timing").enters("select 6 * 7 as answer;");
    shell.sees("42");
    shell.sees("time: 0.");
    shell.enters("\\format csv").enters("select 6 * 7 as answer;");
    shell.sees("answer\r\n42\r\n");
    shell.enters("\\format table");

    shell.enters("\\dt");
    shell.sees("touchpoints");
    shell.enters("\\d refunds");
    shell.sees("refund_id");
    shell.enters("\\df safe_ratio");
    shell.sees("safe_ratio(");
    shell.enters("\\queries attribution/by_channel");
    shell.sees("half_life_days");
    shell.enters("\\run attribution/by_chanel");
    shell.sees("did you mean attribution/by_channel?");
    shell.enters("\\run attribution/by_channel start=2026-03-01 end=2026-04-01 model=linear");
    shell.sees("(unattributed)");
    shell.enters("select order_id from orders").enters("\\explain");
    shell.sees("TableScan: orders");
    shell.leaves();
}

#[test]
fn tab_completes_tables_columns_and_queries() {
    let lake = Lake::new();
    let mut shell = lake.shell("--store shop");
    shell.sees("shop> ");
    shell.types("select count(*) as n from orders o where o.customer_i\t = 'ada';");
    shell.types("\r");
    shell.sees("1 row");
    shell.types("select count(*) as touch_count from touchp\t;\r");
    shell.sees("touchpoints;");
    shell.sees("1 row");
    shell.types("\\run attribution/by_chan\tend=2026-04-01 sta\t2026-03-01 mod\tlinear\r");
    shell.sees("start=2026-03-01");
    shell.sees("(unattributed)");
    // Several that fit are listed.
    shell.types("select * from journey_\t\t");
    shell.sees("journey_paths");
    shell.sees("journey_totals");
    shell.gives_up().enters("select 'still here' as where_are_we;");
    shell.sees("1 row");
    shell.leaves();
}

#[test]
fn an_export_is_what_the_command_line_writes() {
    let lake = Lake::new();
    let mut shell = lake.shell("");
    shell.sees("shop> ");
    shell.enters("select * from orders order by order_id;");
    shell.sees("3 rows");
    for file in ["shell.csv", "shell.ndjson", "shell.parquet", "shell.arrow", "shell.md"] {
        shell.enters(&format!("\\export {file}"));
        shell.sees(&format!("3 rows written to {file}"));
        let format = match file.rsplit('.').next().unwrap() {
            "md" => "markdown",
            format => format,
        };
        let output = lake.run(&["sql", "-c", "select * from orders order by order_id", "-f", format]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(std::fs::read(lake.path(file)).unwrap(), output.stdout, "{file}");
    }
    shell.enters("\\export shell.docx");
    shell.sees("unknown format docx");
    shell.enters("\\export nowhere/shell.csv");
    shell.sees("cannot be written");
    shell.leaves();
}

#[test]
fn ctrl_c_ends_the_query_and_not_the_shell() {
    let lake = Lake::new();
    let mut shell = lake.shell("");
    shell.sees("shop> ");
    for endless in ENDLESS {
        shell.enters(endless);
        shell.sees(" rows, ");
        let pid = shell.pid;
        is_busy(pid);
        shell.presses_ctrl('c');
        shell.sees("cancelled");
        becomes_quiet(pid);
    }
    shell.types("select 'never sent").sees("never sent");
    shell.gives_up().enters("select 6 * 7 as answer;");
    shell.sees("42");
    shell.enters("select 1 as one").enters("\\watch 0.1");
    for _ in 0..2 {
        shell.sees("every 0.1 s until Ctrl-C");
        shell.sees("1 row");
    }
    shell.presses_ctrl('c');
    shell.session.exp_regex("stopped|cancelled").unwrap();
    shell.enters("select 6 * 8 as answer;");
    shell.sees("48");
    shell.leaves();
}

#[test]
fn what_was_typed_is_there_in_the_next_shell_and_for_nobody_else() {
    let lake = Lake::new();
    let mut shell = lake.shell("");
    shell.sees("shop> ");
    shell.enters("select 40 + 2").enters("  as remembered;");
    shell.sees("1 row");
    shell.leaves();
    let mut shell = lake.shell("");
    shell.sees("shop> ");
    shell.types("\x1b[A").types("\r");
    shell.sees("remembered");
    shell.sees("42");
    shell.leaves();
    let file = lake.path(".local/state/tributary/sql_history");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read_to_string(file).unwrap().contains("as remembered"));
}

#[test]
fn an_answer_that_does_not_fit_goes_to_the_pager() {
    let lake = Lake::new();
    let mut shell = lake.shell("--format csv");
    shell.sees("shop> ");
    shell.enters("select value as short_one from range(1, 10);");
    let short = shell.sees("\r\n9\r\n");
    assert!(!short.contains("paged:"), "{short}");
    shell.enters("select value as long_one from range(1, 1000);");
    shell.sees("paged:long_one");
    shell.sees("paged:999");
    shell.enters("\\pager").enters("select value as long_one from range(1, 1000);");
    let long = shell.sees("\r\n999\r\n");
    assert!(!long.contains("paged:"), "the pager was switched off");
    shell.leaves();
}

#[test]
fn a_server_is_asked_from_a_shell_as_the_lake_at_hand_is() {
    let lake = Lake::new();
    let server = Server::start(&lake);
    let mut shell = lake.shell(&format!("--server {} --store shop", server.url));
    let host = server.url.strip_prefix("http://").unwrap();
    shell.sees(&format!("{host}> "));
    shell.enters("select order_id, revenue from orders order by order_id;");
    shell.sees("100.01");
    shell.sees("3 rows");
    shell.enters("select revenu").enters("from orders;");
    shell.sees("error: unknown column revenu, did you mean revenue?");
    shell.sees("line 1: select revenu");
    shell.sees("^^^^^^");
    shell.types("select count(*) as touch_count from touchp\t;\r");
    shell.sees("touchpoints;");
    shell.sees("1 row");
    shell.enters("\\d refunds");
    shell.sees("refund_id");
    shell.enters("\\dt");
    shell.sees("touchpoints");
    shell.enters("\\run attribution/by_channel start=2026-03-01 end=2026-04-01 model=linear");
    shell.sees("(unattributed)");
    shell.enters("\\export remote.csv");
    shell.sees("written to remote.csv");
    shell.enters(ENDLESS[0]);
    shell.sees("planning");
    let pid = server.child.id();
    is_busy(pid);
    shell.presses_ctrl('c');
    shell.sees("cancelled");
    becomes_quiet(pid);
    shell.enters("select 6 * 7 as answer;");
    shell.sees("42");
    // Before the prompt is there, Ctrl-D would be the terminal's, and lost.
    shell.sees(&format!("1 row\r\n\r{host}> \r"));
    shell.leaves();
}
