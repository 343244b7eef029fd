mod corpus;
mod harness;
mod round_trip;
mod rules;
