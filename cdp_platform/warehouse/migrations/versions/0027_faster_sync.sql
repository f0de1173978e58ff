-- Tables and triggers of customers that make a sync cheap.
SELECT 1;
