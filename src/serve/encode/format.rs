//! The wire formats, and how a request chooses one.

use crate::error::{Error, ErrorKind, Result};

const SPREADSHEET: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Json,
    Ndjson,
    Csv,
    Arrow,
    Parquet,
    Xlsx,
}

impl Format {
    /// Every format, the preferred one first.
    pub const ALL: [Format; 6] =
        [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow, Format::Parquet, Format::Xlsx];

    /// The name, which is also the file extension.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Arrow => "arrow",
            Format::Parquet => "parquet",
            Format::Xlsx => "xlsx",
        }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Xlsx => SPREADSHEET,
        }
    }

    /// Returns true if the format is packed by itself, or fast because it is not.
    pub fn is_packed(self) -> bool {
        matches!(self, Format::Arrow | Format::Parquet | Format::Xlsx)
    }

    /// The media types that a client may ask with.
    fn media_types(self) -> &'static [&'static str] {
        match self {
            Format::Json => &["application/json"],
            Format::Ndjson => &["application/x-ndjson", "application/ndjson", "application/jsonl"],
            Format::Csv => &["text/csv"],
            Format::Arrow => &["application/vnd.apache.arrow.stream"],
            Format::Parquet => &["application/vnd.apache.parquet", "application/x-parquet"],
            Format::Xlsx => &[SPREADSHEET],
        }
    }

    /// Finds a format by its name or file extension.
    pub fn from_name(name: &str) -> Option<Self> {
        Format::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// Finds a format by name, or lists the choice.
    pub fn parse(name: &str) -> Result<Self> {
        Self::from_name(name)
            .ok_or_else(|| Error::unknown("format", name, names()).with_kind(ErrorKind::InvalidRequest))
    }

    /// Chooses by an `Accept` header: the highest quality wins, then an exact name over a wildcard, then the
    /// order of `ALL`. `None` where the header allows none of them.
    pub fn from_accept(accept: &str) -> Option<Self> {
        let ranges: Vec<Range> = accept.split(',').filter_map(Range::parse).collect();
        if ranges.is_empty() {
            return Some(Format::Json);
        }
        let mut best: Option<(u16, u8, Format)> = None;
        for format in Format::ALL {
            let decisive =
                ranges.iter().filter_map(|range| Some((range.specificity(format)?, range.quality))).max();
            let Some((specificity, quality)) = decisive.filter(|(_, quality)| *quality > 0) else { continue };
            if best.is_none_or(|(q, s, _)| (quality, specificity) > (q, s)) {
                best = Some((quality, specificity, format));
            }
        }
        best.map(|(_, _, format)| format)
    }
}

/// The names of all formats.
pub fn names() -> impl Iterator<Item = &'static str> {
    Format::ALL.into_iter().map(Format::name)
}

/// One media range of an `Accept` header; the quality is in thousandths.
struct Range {
    media: String,
    quality: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| !media.is_empty())?.to_ascii_lowercase();
        let quality = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1.0), |(_, value)| value.trim().parse::<f32>().ok())
            .filter(|quality| (0.0..=1.0).contains(quality))?;
        Some(Self { media, quality: (quality * 1000.0).round() as u16 })
    }

    fn specificity(&self, format: Format) -> Option<u8> {
        if self.media == "*/*" {
            return Some(0);
        }
        if let Some(family) = self.media.strip_suffix("/*") {
            let inside = format.media_types().iter().any(|media| media.split('/').next() == Some(family));
            return inside.then_some(1);
        }
        format.media_types().contains(&self.media.as_str()).then_some(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_decides_before_order() {
        assert_eq!(Format::from_accept("application/json;q=0.5, text/csv"), Some(Format::Csv));
        assert_eq!(
            Format::from_accept("text/csv;q=0.2,application/vnd.apache.parquet; q=0.9"),
            Some(Format::Parquet)
        );
    }

    #[test]
    fn an_exact_name_beats_a_wildcard_of_equal_quality() {
        assert_eq!(Format::from_accept("*/*, text/csv"), Some(Format::Csv));
        assert_eq!(Format::from_accept("text/*"), Some(Format::Csv));
        assert_eq!(Format::from_accept("text/html,application/xhtml+xml,*/*;q=0.8"), Some(Format::Json));
    }

    #[test]
    fn quality_zero_forbids_what_a_wildcard_would_allow() {
        assert_eq!(Format::from_accept("application/json;q=0, */*;q=0.1"), Some(Format::Ndjson));
        assert_eq!(Format::from_accept("*/*;q=0"), None);
    }

    #[test]
    fn an_unknown_media_type_alone_is_not_acceptable() {
        assert_eq!(Format::from_accept("image/png"), None);
        assert_eq!(Format::from_accept("application/xml, text/html;q=0.3"), None);
    }

    #[test]
    fn an_empty_header_means_json() {
        assert_eq!(Format::from_accept(""), Some(Format::Json));
        assert_eq!(Format::from_accept(" , "), Some(Format::Json));
    }

    #[test]
    fn every_format_is_found_by_its_own_name_and_media_type() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
            assert_eq!(Format::from_accept(format.content_type()), Some(format));
        }
        let error = Format::parse("xml").unwrap_err();
        assert!(error.message().contains("json"), "{error}");
    }
}
