//! A backend on a raw socket: records each request as it came, and answers as a script says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{DEADLINE, wait_for};

/// A request as a backend gets it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// Fields in their order, names as they came.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

type Script = Arc<dyn Fn(&Request, &mut TcpStream) -> bool + Send + Sync>;

/// A recording server. Its script says whether the connection stays open.
pub struct Backend {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Request {
    /// The fields as a CGI program would see them.
    pub fn cgi(&self) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &self.fields {
            let name = format!("HTTP_{}", name.to_uppercase().replace(['-', '.'], "_"));
            variables
                .entry(name)
                .and_modify(|known| *known = format!("{known}, {value}"))
                .or_insert_with(|| value.clone());
        }
        variables
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let value = found.next()?;
        assert!(found.next().is_none(), "`{name}` twice");
        Some(&value.1)
    }
}

/// A whole answer with a content type and a length.
pub fn answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Backend {
    /// Answers everything with a small account.
    pub fn start() -> Self {
        Self::json(super::policy::ACCOUNT)
    }

    /// Answers everything with this JSON.
    pub fn json(body: &str) -> Self {
        Self::bytes(answer("200 OK", "application/json", body))
    }

    /// Answers everything with these bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::script(move |_, stream| stream.write_all(&bytes).is_ok())
    }

    pub fn script(script: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub fn on(
        listener: TcpListener,
        script: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Script = Arc::new(script);
        let record = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, record) = (Arc::clone(&script), Arc::clone(&record));
                thread::spawn(move || serve(stream, &script, &record));
            }
        });
        Self { port, seen }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The last request.
    pub fn last(&self) -> Request {
        self.seen().pop().expect("the backend was not asked")
    }

    /// Waits until so many requests have come.
    pub fn wait_for(&self, count: usize) {
        wait_for(&format!("{count} requests at the backend"), || self.count() >= count);
    }
}

fn serve(stream: TcpStream, script: &Script, record: &Mutex<Vec<Request>>) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        record.lock().unwrap().push(request.clone());
        if !script(&request, &mut writer) {
            let _ = writer.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// A line without its end; bytes beyond ASCII are taken for Latin-1, which is what a header is to a CGI program.
fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut bytes = Vec::new();
    if reader.read_until(b'\n', &mut bytes).ok()? == 0 {
        return None;
    }
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    Some(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let first = line(reader)?;
    let mut parts = first.splitn(3, ' ');
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut fields = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    let of = |name: &str| {
        let mut all = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        all.next().map(|(_, value)| value.clone())
    };
    let mut body = Vec::new();
    if let Some(length) = of("content-length") {
        body.resize(length.parse().ok()?, 0);
        reader.read_exact(&mut body).ok()?;
    } else if of("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let start = body.len();
            body.resize(start + size + 2, 0);
            reader.read_exact(body.get_mut(start..)?).ok()?;
            body.truncate(start + size);
            if size == 0 {
                break;
            }
        }
    }
    Some(Request {
        method,
        target,
        fields,
        body,
    })
}
