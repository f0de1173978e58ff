SELECT relation, code, remark, count(*) FROM leo_row GROUP BY relation, code, remark
