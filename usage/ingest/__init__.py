"""From the body of a request to committed events: body → parse → shape, checks → series → rows → write."""
