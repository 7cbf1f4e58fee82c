// SPDX-License-Identifier: Apache-2.0
//! `server HOST PORT`: answers each connection with the attributes of its span, in JSON.
mod client;

use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let tracer = provider.tracer("server");
    let mut arguments = std::env::args().skip(1);
    let (host, port) = (arguments.next().unwrap(), arguments.next().unwrap());
    let listener = std::net::TcpListener::bind((host, port.parse().unwrap()))?;
    println!("listening");
    loop {
        let (mut connection, _) = listener.accept()?;
        connection.read_exact(&mut [0])?;
        {
            let mut span = tracer.start("request");
            client::set_client(&mut span, &connection);
        }
        let spans = exporter.get_finished_spans().unwrap();
        let attributes = &spans.last().unwrap().attributes;
        let text: Vec<_> = attributes
            .iter()
            .map(|each| match &each.value {
                opentelemetry::Value::I64(number) => format!("\"{}\":{}", each.key, number),
                other => format!("\"{}\":\"{}\"", each.key, other),
            })
            .collect();
        writeln!(connection, "{{{}}}", text.join(","))?;
    }
}
