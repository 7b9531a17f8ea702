//! A server with few open files: its connections leave some for the tables.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A process that ends with its owner.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn connections_leave_files_for_tables() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 300 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tributary")]);
    command.args(["--data", "lake", "serve", "--listen", "127.0.0.1:0"]).current_dir(folder.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut server = Served(child.unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("tributary is serving at ").unwrap().to_owned();
    let address = url.strip_prefix("http://").unwrap();
    let mut halves = Vec::new();
    for _ in 0..400 {
        let mut socket = TcpStream::connect(address).unwrap();
        // Those that gave way are closed on the other side.
        let _ = socket.write_all(b"GET /v1/tables HTTP/1.1\r\n");
        halves.push(socket);
    }
    // Before the halves are over, which takes longer.
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(5)).build().unwrap();
    for day in 1..=20 {
        let row = format!(
            r#"{{"order_id": "o{day}", "customer_id": "c", "ordered_at": "2026-{:02}-01T00:00:00Z",
               "status": "completed", "currency": "USD", "revenue": "1.00"}}"#,
            day % 12 + 1
        );
        let land = client
            .post(format!("{url}/v1/land/orders?store=a"))
            .header("content-type", "application/x-ndjson");
        let landed = land.body(row.replace('\n', "")).send().await.unwrap();
        assert_eq!(landed.status(), 200, "{}", landed.text().await.unwrap());
        let asked =
            client.post(format!("{url}/v1/sql?store=a&format=csv")).body("select count(*) from orders");
        let answer = asked.send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
        assert_eq!(answer.lines().last(), Some(day.to_string().as_str()));
    }
}
