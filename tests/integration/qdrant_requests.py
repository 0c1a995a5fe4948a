"""Requests to Qdrant's API, as qdrant-client's models, in the words of the embedded engine."""

from typing import Any

import qdrant_edge as edge
from qdrant_client import models
from qdrant_client.conversions.conversion import RestToGrpc
from qdrant_client.grpc import points_pb2


def grpc_record(record: models.Record) -> Any:
    assert isinstance(record.vector, dict)
    vectors = points_pb2.NamedVectorsOutput()
    for name, value in record.vector.items():
        rows: Any = value if isinstance(value[0], list) else None
        if rows is None:
            vectors.vectors[name].dense.data.extend(value)
        else:
            for row in rows:
                vectors.vectors[name].multi_dense.vectors.add().data.extend(row)
    return points_pb2.RetrievedPoint(
        id=RestToGrpc.convert_extended_point_id(record.id),
        payload=RestToGrpc.convert_payload(record.payload or {}),
        vectors=points_pb2.VectorsOutput(vectors=vectors),
    )


def edge_graph(asked: models.HnswConfigDiff | None) -> edge.HnswIndexConfig | None:
    if asked is None or asked.m is None:
        return None
    return edge.HnswIndexConfig(m=asked.m, ef_construct=100, full_scan_threshold=10_000)


def edge_vector_params(params: models.VectorParams) -> edge.EdgeVectorParams:
    multi = None
    if params.multivector_config is not None:
        multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    quantization: Any = None
    if isinstance(params.quantization_config, models.ScalarQuantization):
        quantization = edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, quantile=0.99)
    elif isinstance(params.quantization_config, models.BinaryQuantization):
        quantization = edge.BinaryQuantizationConfig()
    datatype = params.datatype or models.Datatype.FLOAT32
    return edge.EdgeVectorParams(
        size=params.size,
        distance=getattr(edge.Distance, params.distance.value),
        multivector_config=multi,
        datatype=getattr(edge.VectorStorageDatatype, datatype.value.capitalize()),
        hnsw_config=edge_graph(params.hnsw_config),
        quantization_config=quantization,
    )


def edge_filter(chosen: models.Filter | None) -> edge.Filter | None:
    if chosen is None:
        return None
    assert chosen.should is None and chosen.must_not is None and isinstance(chosen.must, list)
    must: list[Any] = []
    for condition in chosen.must:
        if isinstance(condition, models.HasIdCondition):
            must.append(edge.HasIdCondition({str(id) for id in condition.has_id}))  # type: ignore[union-attr]
        else:
            # All that PassageIndex asks for; the suite is to fail where it asks for more.
            assert isinstance(condition, models.FieldCondition), condition
            match: Any
            if isinstance(condition.match, models.MatchPrefix):
                match = edge.MatchPrefix(condition.match.prefix)
            else:
                assert isinstance(condition.match, models.MatchAny)
                match = edge.MatchAny(list(condition.match.any))  # type: ignore[arg-type]
            must.append(edge.FieldCondition(key=condition.key, match=match))
    return edge.Filter(must=must)


def _params(params: models.SearchParams | None) -> edge.SearchParams | None:
    if params is None:
        return None
    quantization = None
    if (wanted := params.quantization) is not None:
        quantization = edge.QuantizationSearchParams(
            ignore=bool(wanted.ignore), rescore=wanted.rescore
        )
    return edge.SearchParams(
        hnsw_ef=params.hnsw_ef, exact=bool(params.exact), quantization=quantization
    )


def _nearest(query: Any, using: str | None) -> edge.Query:
    return edge.Query.Nearest(
        query.nearest if isinstance(query, models.NearestQuery) else query, using=using
    )


def edge_query(request: models.QueryRequest) -> edge.QueryRequest:
    return edge.QueryRequest(**_steps(request), with_payload=bool(request.with_payload))


def _steps(request: models.QueryRequest | models.Prefetch) -> dict[str, Any]:
    assert request.limit is not None
    before = request.prefetch if isinstance(request.prefetch, list) else [request.prefetch]
    return {
        "limit": request.limit,
        "query": _nearest(request.query, request.using),
        "prefetches": [edge.Prefetch(**_steps(p)) for p in before if p is not None] or None,
        "filter": edge_filter(request.filter),
        "params": _params(request.params),
    }
