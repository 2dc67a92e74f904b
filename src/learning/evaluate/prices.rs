//! A table of prices, in place of those of the sets.

use std::{collections::BTreeMap, path::Path};

use crate::{
    learning::{LearningError, names::public_name},
    scoring::artifact::sha256,
};

/// Prices by public name.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceTable {
    /// The file's name.
    pub source: String,
    /// SHA-256 of the file: the version of the prices.
    pub checksum: String,
    by_name: BTreeMap<String, (f64, f64)>,
}

/// Columns by the names that they may have.
const NAME: [&str; 2] = ["model", "id"];
const INPUT: [&str; 2] = ["in_usd_per_m", "in_price"];
const OUTPUT: [&str; 2] = ["out_usd_per_m", "out_price"];

impl PriceTable {
    /// Reads a table of comma-separated values with a header: `model` (or `id`), `in_usd_per_m` (or `in_price`) and
    /// `out_usd_per_m` (or `out_price`), in USD per million tokens; other columns are left alone. Where several providers sell
    /// a model, the middle price counts; rows without prices and free ones are left out.
    ///
    /// # Errors
    /// The file cannot be read, lacks a column, or has a price that is no number.
    pub fn read(path: &Path) -> Result<Self, LearningError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LearningError::Unreadable { path: path.to_owned(), source })?;
        let by_name = parse(&text).map_err(|(line, message)| LearningError::Malformed {
            path: path.to_owned(),
            line,
            message,
        })?;
        let source = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { source, checksum: sha256(text.as_bytes()), by_name })
    }

    /// Returns USD per million tokens of prompt and of answer.
    pub fn of(&self, name: &str) -> Option<(f64, f64)> {
        self.by_name.get(name).copied()
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, (f64, f64)>, (usize, String)> {
    let mut lines = text.lines().enumerate();
    let header = fields(lines.next().map_or("", |(_, line)| line));
    let column = |names: [&str; 2]| {
        let found = header.iter().position(|field| names.contains(&field.as_str()));
        found.ok_or_else(|| (1, format!("no column `{}`", names.join("` or `"))))
    };
    let (name, input, output) = (column(NAME)?, column(INPUT)?, column(OUTPUT)?);
    let mut offers: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields = fields(line);
        let price = |column: usize| price(fields.get(column).map_or("", String::as_str), index + 1);
        let (Some(input), Some(output)) = (price(input)?, price(output)?) else { continue };
        let offer = offers.entry(public_name(fields.get(name).map_or("", String::as_str))).or_default();
        offer.0.push(input);
        offer.1.push(output);
    }
    Ok(offers.into_iter().map(|(name, (input, output))| (name, (median(input), median(output)))).collect())
}

fn price(field: &str, line: usize) -> Result<Option<f64>, (usize, String)> {
    if field.trim().is_empty() {
        return Ok(None);
    }
    match field.trim().parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(Some(price).filter(|price| *price > 0.0)),
        _ => Err((line, format!("\"{field}\" is no price in USD per million tokens"))),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() - 1) / 2).copied().unwrap_or(0.0)
}

/// Splits at commas outside of quotes; a doubled quote inside quotes is a quote.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    while let Some(character) = characters.next() {
        match (character, is_quoted) {
            ('"', true) if characters.peek() == Some(&'"') => {
                characters.next();
                fields.last_mut().into_iter().for_each(|field| field.push('"'));
            }
            ('"', _) => is_quoted = !is_quoted,
            (',', false) => fields.push(String::new()),
            _ => fields.last_mut().into_iter().for_each(|field| field.push(character)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_offers_the_middle_one_counts_and_free_ones_do_not() {
        let table =
            "provider,model,in_usd_per_m,out_usd_per_m\na,X-1,1,4\nb,owner/x-1,3,6\nc,x-1,2,5\nd,x-1,0,0\ne,y,,\n";

        let prices = parse(table).unwrap();

        assert_eq!(prices, BTreeMap::from([("x-1".to_owned(), (2.0, 5.0))]));
    }

    #[test]
    fn quotes_hold_commas_together() {
        assert_eq!(fields("a,\"b, \"\"c\"\"\",d"), ["a", "b, \"c\"", "d"]);
    }

    #[test]
    fn a_price_that_is_no_number_is_told_with_its_line() {
        let (line, message) = parse("model,in_price,out_price\nx,1,2\ny,cheap,2\n").unwrap_err();

        assert_eq!((line, message.as_str()), (3, "\"cheap\" is no price in USD per million tokens"));
        assert_eq!(parse("model,price\n").unwrap_err().1, "no column `in_usd_per_m` or `in_price`");
    }
}
