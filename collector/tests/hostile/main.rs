//! Files that anybody could have made: any bytes give rows or an error, in time and memory that follow from their size.

mod bounds;
mod corpus;
mod made;
mod waits;
