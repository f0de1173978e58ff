-- Texts of purchases that say what a person would say, and indexes of a million vectors.
SELECT 1;
